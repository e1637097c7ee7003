package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Modifier;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.opensearch.common.settings.ClusterSettings;
import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.unit.TimeValue;

class ChercheSettingsTests {

    private final ClusterSettings cluster = new ClusterSettings(Settings.EMPTY, new HashSet<>(ChercheSettings.ALL));
    private final ChercheSettings settings = new ChercheSettings(Settings.EMPTY, cluster);

    @Test
    void everySettingIsRegistered() throws IllegalAccessException {
        Set<Object> declared = new HashSet<>();
        for (var field : ChercheSettings.class.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) && Setting.class.isAssignableFrom(field.getType())) {
                declared.add(field.get(null));
            }
        }
        assertEquals(declared, new HashSet<>(ChercheSettings.ALL));
    }

    @Test
    void defaultsAreThoseOfTheReadme() {
        assertTrue(settings.enabled());
        assertEquals(TimeValue.timeValueMillis(200), settings.queryDeadline());
        assertEquals(TimeValue.timeValueMillis(250), settings.rerankDeadline());
        assertEquals(TimeValue.timeValueSeconds(1), settings.passagesDeadline());
        assertEquals(TimeValue.timeValueSeconds(60), settings.ingestDeadline());
        assertEquals(128 << 10, settings.ingestBatchBytes());
        assertEquals(128, settings.ingestDocuments());
        assertEquals(4, settings.ingestConcurrency());
    }

    @Test
    void dynamicSettingsFollowTheCluster() {
        cluster.applySettings(
            Settings.builder()
                .put("plugins.cherche.enabled", false)
                .put("plugins.cherche.query.deadline", "1s")
                .put("plugins.cherche.rerank.deadline", "2s")
                .put("plugins.cherche.passages.deadline", "7s")
                .put("plugins.cherche.ingest.deadline", "3s")
                .put("plugins.cherche.ingest.batch_bytes", "2kb")
                .put("plugins.cherche.ingest.batch_documents", 5)
                .put("plugins.cherche.ingest.concurrency", 6)
                .build()
        );
        assertFalse(settings.enabled());
        assertEquals(TimeValue.timeValueSeconds(1), settings.queryDeadline());
        assertEquals(TimeValue.timeValueSeconds(2), settings.rerankDeadline());
        assertEquals(TimeValue.timeValueSeconds(7), settings.passagesDeadline());
        assertEquals(TimeValue.timeValueSeconds(3), settings.ingestDeadline());
        assertEquals(2 << 10, settings.ingestBatchBytes());
        assertEquals(5, settings.ingestDocuments());
        assertEquals(6, settings.ingestConcurrency());
    }

    @Test
    void connectionAndCacheSettingsNeedARestart() {
        Set<String> fixed = Stream.of("hosts", "insecure", "tls.enabled", "tls.ca", "token", "query_cache.entries")
            .map("plugins.cherche."::concat)
            .collect(Collectors.toSet());
        for (Setting<?> setting : ChercheSettings.ALL) {
            assertEquals(!fixed.contains(setting.getKey()), setting.isDynamic(), setting.getKey());
        }
    }

    @Test
    void aProcessorMayHaveItsOwnDeadline() {
        Map<String, Object> config = new HashMap<>(Map.of("deadline", "40ms"));
        assertEquals(TimeValue.timeValueMillis(40), ChercheSettings.deadline("t", "tag", config));
        assertEquals(Map.of(), config);
        assertNull(ChercheSettings.deadline("t", "tag", config));
        var error = assertThrows(
            IllegalArgumentException.class,
            () -> ChercheSettings.deadline("t", "tag", new HashMap<>(Map.of("deadline", "soon")))
        );
        assertTrue(error.getMessage().contains("deadline"), error.getMessage());
    }
}
