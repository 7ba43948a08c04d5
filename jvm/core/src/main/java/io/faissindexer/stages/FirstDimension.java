package io.faissindexer.stages;

import java.util.OptionalInt;

/** Looks for the dimension of rows whose type does not tell it. */
public final class FirstDimension {
    private FirstDimension() {
    }

    /**
     * The components of the first embedding among rows, which are read no further; empty when there is none.
     *
     * @throws Exception whatever the rows throw
     */
    public static OptionalInt of(RowSource rows) throws Exception {
        try {
            rows.forEachRow(new Finder());
            return OptionalInt.empty();
        } catch (Found found) {
            return OptionalInt.of(found.dimension);
        }
    }

    private static final class Found extends RuntimeException {
        private static final long serialVersionUID = 1L;
        private final int dimension;

        Found(int dimension) {
            super(null, null, false, false);
            this.dimension = dimension;
        }
    }

    /** Leaves the rows by an exception as soon as it has seen an embedding. */
    private static final class Finder implements RowSink {
        @Override
        public void add(long id, float[] embedding) {
            throw new Found(embedding.length);
        }

        @Override
        public void add(long id, double[] embedding) {
            throw new Found(embedding.length);
        }

        @Override
        public void nullId() {
        }

        @Override
        public void nullEmbedding(long id) {
        }

        @Override
        public void nullComponent(long id) {
        }
    }
}
