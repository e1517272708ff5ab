-- From here on a new projection lays the numbers of its order keys out in fewer bytes, and its definition says so. A
-- program that does not know that would write them as before, so it has to refuse this version of the schema.
comment on column tidemark_internal.projections.definition is 'What the rows were made by. "numbers": "short" where numbers of order keys have sign and power of ten in one byte; absent where they take four.';
