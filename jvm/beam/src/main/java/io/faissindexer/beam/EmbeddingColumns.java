package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.Serializable;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.sdk.transforms.display.DisplayData;

/** The columns of an input that a build reads. */
final class EmbeddingColumns implements Serializable {
    private static final long serialVersionUID = 1L;

    private final String id;
    private final String embedding;
    private final String group;

    private EmbeddingColumns(String id, String embedding, String group) {
        this.id = Objects.requireNonNull(id, "idColumn");
        this.embedding = Objects.requireNonNull(embedding, "embeddingColumn");
        this.group = group;
    }

    static EmbeddingColumns of(String idColumn, String embeddingColumn) {
        return new EmbeddingColumns(idColumn, embeddingColumn, null);
    }

    EmbeddingColumns groupedBy(String column) {
        return new EmbeddingColumns(id, embedding, Objects.requireNonNull(column, "column"));
    }

    String id() {
        return id;
    }

    String embedding() {
        return embedding;
    }

    Optional<String> group() {
        return Optional.ofNullable(group);
    }

    /** All of them. */
    List<String> names() {
        return Stream.concat(Stream.of(id, embedding), group().stream()).distinct().collect(Collectors.toList());
    }

    /**
     * Fails unless all are among the columns of an input.
     *
     * @throws FaissIndexException of kind INVALID_SPEC
     */
    void requireAllIn(List<String> columns) {
        for (String name : names()) {
            if (!columns.contains(name)) {
                throw new FaissIndexException(Kind.INVALID_SPEC,
                        "there is no column '" + name + "'; the columns are " + String.join(", ", columns));
            }
        }
    }

    void populateDisplayData(DisplayData.Builder builder) {
        builder.add(DisplayData.item("idColumn", id))
                .add(DisplayData.item("embeddingColumn", embedding))
                .addIfNotNull(DisplayData.item("groupColumn", group));
    }
}
