package org.cherche.opensearch;

import java.io.IOException;
import java.util.List;
import java.util.function.LongSupplier;
import org.apache.lucene.index.BinaryDocValues;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.store.ByteArrayDataInput;
import org.apache.lucene.util.BytesRef;
import org.opensearch.common.document.DocumentField;
import org.opensearch.search.SearchHit;
import org.opensearch.search.fetch.FetchContext;
import org.opensearch.search.fetch.FetchSubPhase;
import org.opensearch.search.fetch.FetchSubPhaseProcessor;

/**
 * Scores the hits of the window on the shards that hold their codes, while the hits are fetched: the codes never leave
 * the shard, and no shard scores more than its part of the window.
 *
 * <p>Each hit that has codes gets the field {@link Reranker#MAXSIM}: a float, or text that says why there is no score.
 */
final class MaxSimPhase implements FetchSubPhase {

    /** Instead of a score, where the shard's time was over. */
    static final String LATE = "late";

    private static final boolean AVAILABLE = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();

    /** Whether this JVM has the vector module, as OpenSearch's own jvm.options say. */
    static boolean isAvailable() {
        return AVAILABLE;
    }

    @Override
    public FetchSubPhaseProcessor getProcessor(FetchContext context) {
        if (!(context.getSearchExt(MaxSimQuery.NAME) instanceof MaxSimQuery query)) {
            return null;
        }
        return AVAILABLE ? new Scorer(query, System::nanoTime) : new Unable();
    }

    private static void tell(SearchHit hit, Object result) {
        hit.setDocumentField(Reranker.MAXSIM, new DocumentField(Reranker.MAXSIM, List.of(result)));
    }

    /** A node of a mixed cluster that cannot do what the coordinating node can. */
    private static final class Unable implements FetchSubPhaseProcessor {

        @Override
        public void setNextReader(LeafReaderContext reader) {}

        @Override
        public void process(HitContext context) {
            tell(context.hit(), "their node runs without --add-modules=jdk.incubator.vector");
        }
    }

    static final class Scorer implements FetchSubPhaseProcessor {

        private final MaxSim maxSim;
        private final LongSupplier nanoTime;
        private final long started;
        private final long budgetNanos;
        private BinaryDocValues codes;

        Scorer(MaxSimQuery query, LongSupplier nanoTime) {
            this.maxSim = query.scorer();
            this.nanoTime = nanoTime;
            this.started = nanoTime.getAsLong();
            this.budgetNanos = query.budgetMillis() * 1_000_000;
        }

        @Override
        public void setNextReader(LeafReaderContext reader) throws IOException {
            codes = reader.reader().getBinaryDocValues(IndexSetup.CODES);
        }

        @Override
        public void process(HitContext context) throws IOException {
            SearchHit hit = context.hit();
            if (codes == null || hit.getNestedIdentity() != null || !codes.advanceExact(context.docId())) {
                return;
            }
            tell(hit, nanoTime.getAsLong() - started < budgetNanos ? result(codes.binaryValue()) : LATE);
        }

        /** The engine stores a binary value as a list: its length, then every value's length and bytes. */
        private Object result(BytesRef stored) {
            var in = new ByteArrayDataInput(stored.bytes, stored.offset, stored.length);
            in.readVInt();
            int length = in.readVInt();
            try {
                return maxSim.score(stored.bytes, in.getPosition(), length);
            } catch (IllegalArgumentException e) {
                return e.getMessage();
            }
        }
    }
}
