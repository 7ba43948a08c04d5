-- The latest embedding of each entity, for --query_file. The query is run once for a build.
--
-- To change: the table, as `project.dataset.table` in backquotes where it is not in the project that pays for the
-- query; and the columns, which --id_column and --embedding_column name where they are not entityId and embedding.
-- A table that is partitioned by ts costs less to read with a condition on ts below, such as
--   AND ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 30 DAY)
SELECT
  entityId,
  embedding
FROM (
  SELECT
    entityId,
    embedding,
    ROW_NUMBER() OVER (PARTITION BY entityId ORDER BY ts DESC) AS age
  FROM
    recommendations.entity_embeddings
  WHERE
    entityId IS NOT NULL
)
WHERE
  age = 1
