package io.faissindexer.mapreduce.input;

import io.faissindexer.FaissIndexException;
import java.util.stream.Collectors;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;
import org.apache.parquet.io.api.Converter;
import org.apache.parquet.io.api.GroupConverter;
import org.apache.parquet.io.api.PrimitiveConverter;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.IntLogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;

/** How the two columns of a Parquet file become rows. */
final class ParquetColumns {
    private static final String MESSAGE = "row";

    private final FileSplit split;
    private final String idColumn;
    private final String embeddingColumn;

    ParquetColumns(FileSplit split, String idColumn, String embeddingColumn) {
        this.split = split;
        this.idColumn = idColumn;
        this.embeddingColumn = embeddingColumn;
    }

    /** The two columns of a file, when they are of types that ids and embeddings have. */
    MessageType projection(MessageType file) {
        Type id = column(file, idColumn);
        Type embedding = column(file, embeddingColumn);
        if (!isWholeNumber(id)) {
            throw unusable("the column '" + idColumn + "' is '" + id + "'; ids are whole numbers of up to 64 bits");
        }
        requireList(embedding);
        return new MessageType(MESSAGE, id, embedding);
    }

    /** Converts what {@link #projection} asked for. */
    GroupConverter converter(MessageType requested, ParquetRow row) {
        Converter[] columns = new Converter[requested.getFieldCount()];
        columns[requested.getFieldIndex(idColumn)] = id(requested.getType(idColumn), row);
        columns[requested.getFieldIndex(embeddingColumn)] = embedding(requested.getType(embeddingColumn), row);
        return new Group(columns) {
            @Override
            public void start() {
                row.begin();
            }
        };
    }

    private Type column(MessageType file, String name) {
        if (!file.containsField(name)) {
            throw unusable("there is no column '" + name + "'; the columns are "
                    + file.getFields().stream().map(Type::getName).collect(Collectors.joining(", ")));
        }
        return file.getType(name);
    }

    private static boolean isWholeNumber(Type type) {
        if (!type.isPrimitive() || type.isRepetition(Type.Repetition.REPEATED)) {
            return false;
        }
        PrimitiveTypeName stored = type.asPrimitiveType().getPrimitiveTypeName();
        LogicalTypeAnnotation meant = type.getLogicalTypeAnnotation();
        return (stored == PrimitiveTypeName.INT32 || stored == PrimitiveTypeName.INT64)
                && (meant == null || meant instanceof IntLogicalTypeAnnotation);
    }

    private static boolean isUnsigned(Type type) {
        LogicalTypeAnnotation meant = type.getLogicalTypeAnnotation();
        return meant instanceof IntLogicalTypeAnnotation && !((IntLogicalTypeAnnotation) meant).isSigned();
    }

    /**
     * Lists are a repeated component, alone or within a group, or a repeated group of one component within a group;
     * writers differ.
     */
    private void requireList(Type embedding) {
        Type type = embedding;
        int repetitions = type.isRepetition(Type.Repetition.REPEATED) ? 1 : 0;
        for (int depth = 0; depth < 2 && !type.isPrimitive() && type.asGroupType().getFieldCount() == 1; depth++) {
            type = type.asGroupType().getType(0);
            repetitions += type.isRepetition(Type.Repetition.REPEATED) ? 1 : 0;
        }
        if (repetitions != 1 || !isComponent(type)) {
            throw unusable("the column '" + embeddingColumn + "' is '" + embedding.toString().replaceAll("\\s+", " ")
                    + "'; embeddings are lists of float or double");
        }
    }

    private static boolean isComponent(Type type) {
        if (!type.isPrimitive()) {
            return false;
        }
        PrimitiveTypeName stored = type.asPrimitiveType().getPrimitiveTypeName();
        return stored == PrimitiveTypeName.FLOAT || stored == PrimitiveTypeName.DOUBLE;
    }

    private FaissIndexException unusable(String message) {
        return RowFileReader.unusable(split, message);
    }

    private Converter id(Type type, ParquetRow row) {
        boolean isUnsigned = isUnsigned(type);
        return new PrimitiveConverter() {
            @Override
            public void addInt(int value) {
                row.setId(isUnsigned ? Integer.toUnsignedLong(value) : value);
            }

            @Override
            public void addLong(long value) {
                if (isUnsigned && value < 0) {
                    throw RowFileReader.malformed(split, "column '" + idColumn + "'",
                            "the id " + Long.toUnsignedString(value) + " is larger than a signed number of 64 bits");
                }
                row.setId(value);
            }
        };
    }

    private Converter embedding(Type type, ParquetRow row) {
        if (type.isPrimitive()) {
            return component(row);
        }
        return new Group(inside(type.asGroupType(), row)) {
            @Override
            public void start() {
                row.beginEmbedding();
            }
        };
    }

    private Converter inside(GroupType group, ParquetRow row) {
        Type only = group.getType(0);
        return only.isPrimitive() ? component(row) : new Group(component(row)) {
            private int before;

            @Override
            public void start() {
                before = row.components();
            }

            @Override
            public void end() {
                if (row.components() == before) {
                    row.addNull();
                }
            }
        };
    }

    private static Converter component(ParquetRow row) {
        return new PrimitiveConverter() {
            @Override
            public void addFloat(float value) {
                row.add(value);
            }

            @Override
            public void addDouble(double value) {
                row.add(value);
            }
        };
    }

    private static class Group extends GroupConverter {
        private final Converter[] fields;

        Group(Converter... fields) {
            this.fields = fields;
        }

        @Override
        public Converter getConverter(int field) {
            return fields[field];
        }

        @Override
        public void start() {
        }

        @Override
        public void end() {
        }
    }
}
