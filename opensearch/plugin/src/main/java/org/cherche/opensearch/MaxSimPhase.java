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
 * Scores hits on the shards that store their codes, while they are fetched: the codes do not leave the shard, and each
 * shard scores only its part of the window.
 *
 * <p>Each hit with codes gets the field {@link Reranker#MAXSIM}: a float, or the reason why there is no score.
 */
final class MaxSimPhase implements FetchSubPhase {

    /** In place of a score: the shard's time was used up. */
    static final String LATE = "late";

    private static final boolean AVAILABLE = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();

    /** Whether this JVM has the vector module, which OpenSearch's own jvm.options add. */
    static boolean isAvailable() {
        return AVAILABLE;
    }

    @Override
    public FetchSubPhaseProcessor getProcessor(FetchContext context) {
        if (!(context.getSearchExt(MaxSimQuery.NAME) instanceof MaxSimQuery query)) {
            return null;
        }
        return AVAILABLE ? new Scorer(query, System::nanoTime) : new Unavailable();
    }

    private static void setResult(SearchHit hit, Object result) {
        hit.setDocumentField(Reranker.MAXSIM, new DocumentField(Reranker.MAXSIM, List.of(result)));
    }

    /** For a node of a mixed cluster that lacks the vector module, which the coordinating node has. */
    private static final class Unavailable implements FetchSubPhaseProcessor {

        @Override
        public void setNextReader(LeafReaderContext reader) {}

        @Override
        public void process(HitContext context) {
            setResult(context.hit(), "their node runs without --add-modules=jdk.incubator.vector");
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
            setResult(hit, nanoTime.getAsLong() - started < budgetNanos ? result(codes.binaryValue()) : LATE);
        }

        /** The engine stores a binary field as a list: number of values, then length and bytes of each. */
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
