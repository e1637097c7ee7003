package org.cherche.opensearch;

import cherche.v1.Plugin.GetQueryTableRequest;
import cherche.v1.Plugin.GetQueryTableResponse;
import io.grpc.Status;
import java.util.Optional;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.opensearch.common.cache.Cache;
import org.opensearch.common.cache.CacheBuilder;
import org.opensearch.core.action.ActionListener;

/** Cache of query tables: one call for each setup of an index. */
final class QueryTables {

    private static final Logger LOG = LogManager.getLogger(QueryTables.class);
    private static final int MAX_TABLES = 32;

    private final Node node;
    private final Cache<IndexSetup, Optional<QueryTable>> tables = CacheBuilder.<IndexSetup, Optional<QueryTable>>builder()
        .setMaximumWeight(MAX_TABLES)
        .build();

    QueryTables(Node node) {
        this.node = node;
    }

    /** @param then receives the table of a setup; null where the sidecar must prepare each query, now or always */
    void get(IndexSetup setup, ActionListener<QueryTable> then) {
        Optional<QueryTable> known = tables.get(setup);
        if (known != null) {
            then.onResponse(known.orElse(null));
            return;
        }
        var request = GetQueryTableRequest.newBuilder().setMetaJson(setup.json()).build();
        node.sidecar().call(stub -> stub.getQueryTable(request), node.settings().queryDeadline(), new ActionListener<>() {
            @Override
            public void onResponse(GetQueryTableResponse response) {
                QueryTable table;
                try {
                    table = QueryTable.of(response);
                } catch (RuntimeException e) {
                    LOG.warn("a sidecar's query table cannot be read: each doc_only query is sent to the sidecar", e);
                    tables.put(setup, Optional.empty());
                    then.onResponse(null);
                    return;
                }
                if (table == null) {
                    LOG.info("the model of an index does not use BERT WordPieces: each doc_only query is sent to the sidecar");
                }
                tables.put(setup, Optional.ofNullable(table));
                then.onResponse(table);
            }

            @Override
            public void onFailure(Exception error) {
                if (!Sidecar.isTransient(Status.fromThrowable(error))) {
                    tables.put(setup, Optional.empty());
                }
                then.onResponse(null);
            }
        });
    }
}
