package org.cherche.opensearch;

import static org.opensearch.common.settings.Setting.Property.Dynamic;
import static org.opensearch.common.settings.Setting.Property.NodeScope;

import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import org.opensearch.common.settings.ClusterSettings;
import org.opensearch.common.settings.SecureSetting;
import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.common.settings.SecureString;
import org.opensearch.core.common.unit.ByteSizeUnit;
import org.opensearch.core.common.unit.ByteSizeValue;
import org.opensearch.ingest.ConfigurationUtils;

/** The plugin's settings and their current values: dynamic ones follow the cluster settings. */
final class ChercheSettings {

    private static final String PREFIX = "plugins.cherche.";

    /** host:port of every sidecar. */
    static final Setting<List<String>> ENDPOINTS =
        Setting.listSetting(PREFIX + "endpoints", List.of("127.0.0.1:50551"), Function.identity(), NodeScope, Dynamic);
    /** Hosts that endpoints may name; empty for those that opensearch.yml names there. Loopback is always allowed. */
    static final Setting<List<String>> HOSTS =
        Setting.listSetting(PREFIX + "hosts", List.of(), Function.identity(), NodeScope);
    /** Whether the token may go to another machine in plain text. */
    static final Setting<Boolean> INSECURE = Setting.boolSetting(PREFIX + "insecure", false, NodeScope);
    /** Kill switch: false leaves every search as the user wrote it. It does not affect ingest. */
    static final Setting<Boolean> ENABLED = Setting.boolSetting(PREFIX + "enabled", true, NodeScope, Dynamic);
    /** Whether the sidecars are called over TLS. */
    static final Setting<Boolean> TLS = Setting.boolSetting(PREFIX + "tls.enabled", false, NodeScope);
    /** PEM file of the CA that signed the sidecars' certificates, relative to the node's config folder. */
    static final Setting<String> TLS_CA = Setting.simpleString(PREFIX + "tls.ca", NodeScope);
    /** Bearer token for the sidecars: opensearch-keystore add plugins.cherche.token. */
    static final Setting<SecureString> TOKEN = SecureSetting.secureString(PREFIX + "token", null);
    /** How long a search waits for its term weights. */
    static final Setting<TimeValue> QUERY_DEADLINE = time("query.deadline", 200);
    /** How long a page waits for its rerank. */
    static final Setting<TimeValue> RERANK_DEADLINE = time("rerank.deadline", 250);
    /** How long a page waits for its passages. */
    static final Setting<TimeValue> PASSAGES_DEADLINE = time("passages.deadline", 1_000);
    /** How long a batch of documents waits for its weights and codes. */
    static final Setting<TimeValue> INGEST_DEADLINE = time("ingest.deadline", 60_000);
    /** Batches of documents in flight per node. */
    static final Setting<Integer> INGEST_CONCURRENCY =
        Setting.intSetting(PREFIX + "ingest.concurrency", 4, 1, 256, NodeScope, Dynamic);
    /** Bytes of text in one batch; a token has about four. */
    static final Setting<ByteSizeValue> INGEST_BATCH = Setting.byteSizeSetting(
        PREFIX + "ingest.batch_bytes",
        new ByteSizeValue(128, ByteSizeUnit.KB),
        new ByteSizeValue(1, ByteSizeUnit.KB),
        new ByteSizeValue(32, ByteSizeUnit.MB),
        NodeScope,
        Dynamic
    );
    /** Documents in one batch. */
    static final Setting<Integer> INGEST_DOCUMENTS =
        Setting.intSetting(PREFIX + "ingest.batch_documents", 128, 1, 4096, NodeScope, Dynamic);
    /** Consecutive failures that open the circuit breaker. */
    static final Setting<Integer> BREAKER_FAILURES =
        Setting.intSetting(PREFIX + "breaker.failures", 5, 1, NodeScope, Dynamic);
    /** How long the open circuit breaker rejects calls before it lets one through. */
    static final Setting<TimeValue> BREAKER_PAUSE = time("breaker.pause", 1_000);
    /** Encoded queries that a node caches. */
    static final Setting<Integer> QUERY_CACHE = Setting.intSetting(PREFIX + "query_cache.entries", 1_000, 0, NodeScope);

    static final List<Setting<?>> ALL = List.of(
        ENDPOINTS,
        HOSTS,
        INSECURE,
        ENABLED,
        TLS,
        TLS_CA,
        TOKEN,
        QUERY_DEADLINE,
        RERANK_DEADLINE,
        PASSAGES_DEADLINE,
        INGEST_DEADLINE,
        INGEST_CONCURRENCY,
        INGEST_BATCH,
        INGEST_DOCUMENTS,
        BREAKER_FAILURES,
        BREAKER_PAUSE,
        QUERY_CACHE
    );

    private volatile boolean enabled;
    private volatile TimeValue queryDeadline;
    private volatile TimeValue rerankDeadline;
    private volatile TimeValue passagesDeadline;
    private volatile TimeValue ingestDeadline;
    private volatile int ingestConcurrency;
    private volatile long ingestBatchBytes;
    private volatile int ingestDocuments;

    ChercheSettings(Settings settings, ClusterSettings cluster) {
        follow(cluster, settings, ENABLED, value -> enabled = value);
        follow(cluster, settings, QUERY_DEADLINE, value -> queryDeadline = value);
        follow(cluster, settings, RERANK_DEADLINE, value -> rerankDeadline = value);
        follow(cluster, settings, PASSAGES_DEADLINE, value -> passagesDeadline = value);
        follow(cluster, settings, INGEST_DEADLINE, value -> ingestDeadline = value);
        follow(cluster, settings, INGEST_CONCURRENCY, value -> ingestConcurrency = value);
        follow(cluster, settings, INGEST_BATCH, value -> ingestBatchBytes = value.getBytes());
        follow(cluster, settings, INGEST_DOCUMENTS, value -> ingestDocuments = value);
    }

    boolean enabled() {
        return enabled;
    }

    TimeValue queryDeadline() {
        return queryDeadline;
    }

    TimeValue rerankDeadline() {
        return rerankDeadline;
    }

    TimeValue passagesDeadline() {
        return passagesDeadline;
    }

    TimeValue ingestDeadline() {
        return ingestDeadline;
    }

    int ingestConcurrency() {
        return ingestConcurrency;
    }

    long ingestBatchBytes() {
        return ingestBatchBytes;
    }

    int ingestDocuments() {
        return ingestDocuments;
    }

    /** Takes the option {@code deadline} out of a processor's configuration; null where the cluster's setting applies. */
    static TimeValue deadline(String type, String tag, Map<String, Object> config) {
        String deadline = ConfigurationUtils.readOptionalStringProperty(type, tag, config, "deadline");
        return deadline == null ? null : TimeValue.parseTimeValue(deadline, "deadline");
    }

    private static <T> void follow(
        ClusterSettings cluster,
        Settings settings,
        Setting<T> setting,
        Consumer<T> consumer
    ) {
        consumer.accept(setting.get(settings));
        cluster.addSettingsUpdateConsumer(setting, consumer);
    }

    private static Setting<TimeValue> time(String name, long millis) {
        return Setting.timeSetting(
            PREFIX + name,
            TimeValue.timeValueMillis(millis),
            TimeValue.timeValueMillis(1),
            NodeScope,
            Dynamic
        );
    }
}
