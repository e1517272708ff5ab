import LibPQ
import TidemarkCore

/// Columns that are configured after events have been seen, which earlier events do not carry. Rows record that in
/// their column keys (`open`, `seen`: see ``ColumnState``) and in `_incomplete`, and the views derive it from the
/// images.
struct LateColumns {
    private let names: [String]
    private let plan: ProjectionPlan

    init(_ names: [String], _ plan: ProjectionPlan) {
        self.names = names
        self.plan = plan
    }

    private var literal: String { "array[\(self.names.map(SQLText.literal).joined(separator: ", "))]::text[]" }
    private var entities: String { self.plan.names.entityStorage.sql }
    private var events: String { self.plan.names.eventStorage.sql }

    /// Whether any event was seen without the columns.
    func haveBeenMissed(on connection: Connection) async throws -> Bool {
        try await connection.query("select exists (select from \(self.entities))").bool(0, 0) ?? true
    }

    /// Records in every live row that it lacks the columns, and below which delete none is taken. A forgotten row stays as it is, because it takes nothing
    /// from events that are read again.
    func recordMissing(on connection: Connection) async throws {
        let isErased =
            self.plan.keepsTimeline
            ? """
            exists (
                select from \(self.events) as event
                where \(ProjectionStatements.match(self.plan, "event", "entity"))
                    and event.order_key = entity._order_key and \(EventShape(self.plan).isErased("event"))
            )
            """ : "false"
        // A row without column keys does not record its greatest delete, and late events from below that delete must not
        // fill the new columns.
        let delete =
            self.plan.keepsTimeline
            ? """
            select encode(event.order_key, 'hex') from \(self.events) as event
            where \(ProjectionStatements.match(self.plan, "event", "entity")) and event.op = 'd'
            order by event.order_key desc
            limit 1
            """ : "null"
        try await connection.execute(
            """
            update \(self.entities) as entity
            set _column_keys = case
                    when _column_keys is null then jsonb_build_object('base', encode(_order_key, 'hex'))
                    else _column_keys
                end
                || case
                    when _column_keys is null or _column_keys ? 'base'
                    then jsonb_build_object('open', coalesce(_column_keys -> 'open', '[]') || to_jsonb(\(self.literal)))
                    else '{}'
                end
                || jsonb_strip_nulls(
                    jsonb_build_object(
                        'deleted', greatest((_column_keys ->> 'deleted') collate "C", (\(delete)) collate "C"),
                        'seen', encode(_order_key, 'hex')
                    )
                ),
                _incomplete = array(
                    select distinct name collate "C" as name
                    from unnest(coalesce(_incomplete, '{}') || \(self.literal)) as name
                    order by 1
                )
            where not _deleted and not (\(isErased))
            """
        )
    }

    /// Refills a column that was configured before, and so has storage, from the timeline: the stored values have no
    /// origin event, and deletes did not clear them.
    func recall(_ column: (name: String, type: ColumnType), on connection: Connection) async throws {
        let name = SQLText.identifier(column.name)
        let literal = SQLText.literal(column.name)
        try await connection.execute("update \(self.entities) set \(name) = null where \(name) is not null")
        let shape = EventShape(self.plan)
        guard self.plan.keepsTimeline, let told = shape.columns?.first(where: { $0.name == column.name }) else {
            return
        }
        let keys = self.plan.keyList.joined(separator: ", ")
        let match = ProjectionStatements.match(self.plan, "event", "entity")
        try await connection.execute(
            """
            update \(self.entities) as entity
            set \(name) = told.\(name),
                _column_keys = entity._column_keys || jsonb_build_object(
                    'columns',
                    (
                        select coalesce(jsonb_agg(origin), '[]')
                        from jsonb_array_elements(coalesce(entity._column_keys -> 'columns', '[]')) as origin
                        where origin ->> 0 <> \(literal)
                    ) || jsonb_build_array(jsonb_build_array(\(literal), encode(told.order_key, 'hex')))
                ),
                _incomplete = nullif(array_remove(entity._incomplete, \(literal)), '{}')
            from (
                select distinct on (\(keys)) \(keys), order_key, \(name)
                from (
                    select \(self.plan.keyList.map { "event.\($0)" }.joined(separator: ", ")), event.order_key,
                        event.\(told.storage) as \(name)
                    from \(self.events) as event
                    join \(self.entities) as entity on \(match)
                    where event.op <> 'd' and not entity._deleted and \(shape.carries(told, "event"))
                        and not \(shape.isErased("event"))
                        and event.order_key > all (
                            select gone.order_key from \(self.events) as gone
                            where \(ProjectionStatements.match(self.plan, "gone", "event")) and gone.op = 'd'
                        )
                        and encode(event.order_key, 'hex') collate "C" > coalesce(entity._column_keys ->> 'deleted', '')
                ) as held
                order by \(keys), order_key desc
            ) as told
            where \(ProjectionStatements.match(self.plan, "told", "entity")) and not entity._deleted
                and entity._column_keys is not null
            """
        )
    }
}
