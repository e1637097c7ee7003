package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import cherche.v1.Plugin.GetQueryTableRequest;
import cherche.v1.Plugin.GetQueryTableResponse;
import cherche.v1.Plugin.TokenizerProbe;
import io.grpc.Status;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class QueryTablesTests {

    private final TestNode test = new TestNode();
    private final QueryTables tables = new QueryTables(test.node);
    private final IndexSetup setup = test.node.setupForWriting("books");

    @AfterEach
    void close() {
        test.close();
    }

    private QueryTable get(IndexSetup of) throws Exception {
        return TestNode.await(then -> tables.get(of, then));
    }

    @Test
    void aTableIsFetchedOnceForEachSetup() throws Exception {
        test.getQueryTable = request -> GetQueryTableResponse.getDefaultInstance();
        QueryTable table = get(setup);
        assertNotNull(table);
        assertSame(table, get(test.node.setupForWriting("papers")), "the setup counts, not the index");
        assertEquals(setup.json(), ((GetQueryTableRequest) test.calls.get(0)).getMetaJson());
        assertEquals(1, test.calls.size());
        get(test.node.setupForWriting("films"));
        assertEquals(2, test.calls.size());
    }

    @Test
    void aTokenizerThatIsNotBertsIsRemembered() throws Exception {
        test.getQueryTable = request -> GetQueryTableResponse.newBuilder()
            .addProbes(TokenizerProbe.newBuilder().setText("a").addIds(3))
            .build();
        assertNull(get(setup));
        assertNull(get(setup));
        assertEquals(1, test.calls.size());
    }

    @Test
    void aModelWithoutATableIsRemembered() throws Exception {
        test.getQueryTable = request -> { throw Status.FAILED_PRECONDITION.asRuntimeException(); };
        assertNull(get(setup));
        assertNull(get(setup));
        assertEquals(1, test.calls.size());
    }

    @Test
    void anOutageIsNotRemembered() throws Exception {
        test.getQueryTable = request -> { throw Status.UNAVAILABLE.asRuntimeException(); };
        assertNull(get(setup));
        test.getQueryTable = request -> GetQueryTableResponse.getDefaultInstance();
        assertNotNull(get(setup));
    }
}
