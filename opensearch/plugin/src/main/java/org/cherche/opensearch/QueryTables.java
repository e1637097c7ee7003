package org.cherche.opensearch;

import cherche.v1.Plugin.GetQueryTableRequest;
import cherche.v1.Plugin.GetQueryTableResponse;
import io.grpc.Status;
import java.util.Optional;
import java.util.function.Consumer;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.opensearch.common.cache.Cache;
import org.opensearch.common.cache.CacheBuilder;
import org.opensearch.core.action.ActionListener;

/** The tables that a node has fetched, one call each as long as the index's setup stays what it is. */
final class QueryTables {

    private static final Logger LOG = LogManager.getLogger(QueryTables.class);
    private static final int MOST = 32;

    private final Node node;
    private final Cache<IndexSetup, Optional<QueryTable>> tables = CacheBuilder.<IndexSetup, Optional<QueryTable>>builder()
        .setMaximumWeight(MOST)
        .build();

    QueryTables(Node node) {
        this.node = node;
    }

    /** The table of a setup; null where each query must be asked about, for now or for good. */
    void get(IndexSetup setup, Consumer<QueryTable> then) {
        Optional<QueryTable> known = tables.get(setup);
        if (known != null) {
            then.accept(known.orElse(null));
            return;
        }
        var request = GetQueryTableRequest.newBuilder().setMetaJson(setup.json()).build();
        node.sidecar().call(stub -> stub.getQueryTable(request), node.settings().queryDeadline(), new ActionListener<>() {
            @Override
            public void onResponse(GetQueryTableResponse answer) {
                QueryTable table = QueryTable.of(answer);
                if (table == null) {
                    LOG.info("the model of an index does not cut words as BERT does; doc_only queries are asked about one by one");
                }
                tables.put(setup, Optional.ofNullable(table));
                then.accept(table);
            }

            @Override
            public void onFailure(Exception error) {
                if (!Sidecar.isTransient(Status.fromThrowable(error).getCode())) {
                    tables.put(setup, Optional.empty());
                }
                then.accept(null);
            }
        });
    }
}
