#!/usr/bin/env bash
# Writes the SQL of schema/ as Swift into a file: embed-schema.sh FILE. The build runs it (Plugins/EmbedSchema).
set -euo pipefail
cd "$(dirname "$0")/.."
output=$1
{
    echo '// Made by scripts/embed-schema.sh from schema/. Edit the SQL there.'
    echo
    echo '/// The migrations, in order.'
    echo 'enum EmbeddedMigrations {'
    echo '    static let all: [Migration] = ['
    for file in schema/[0-9]*.sql; do
        name=$(basename "$file" .sql)
        echo '        Migration('
        echo "            version: $((10#${name%%_*})),"
        echo "            name: \"${name#*_}\","
        echo '            sql: #"""'
        sed 's/^\(.\)/                \1/' "$file"
        echo '                """#'
        echo '        ),'
    done
    echo '    ]'
    echo '}'
} >"$output"
