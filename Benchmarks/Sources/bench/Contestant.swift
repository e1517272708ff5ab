/// One way to bring the log's orders into PostgreSQL.
struct Contestant {
    enum Kind {
        case script(String)
        case replication
        case psycopg
        case floor
        case tidemark(configuration: String, lanes: Int)
    }

    let name: String
    let kind: Kind
    let hasTimeline: Bool
    /// What it consists of, in `Contestants/`.
    let sources: [String]

    private init(_ name: String, _ kind: Kind, hasTimeline: Bool = false, _ sources: [String]) {
        self.name = name
        self.kind = kind
        self.hasTimeline = hasTimeline
        self.sources = sources
    }

    /// In the order in which they run: those that are compared one behind the other, since the speed of a machine that is
    /// shared changes from minute to minute.
    static let all: [Contestant] = [
        Contestant("psycopg", .psycopg, ["table.sql", "consumer.py"]),
        Contestant(
            "replication",
            .replication,
            ["table.sql", "replication-publisher.sql", "replication-subscriber.sql", "replication.sql"]
        ),
        Contestant("floor", .floor, ["table.sql", "floor/main.c"]),
        Self.tidemark("tidemark", "tidemark.yaml", lanes: 1),
        Contestant("script", .script("script.sql"), ["table.sql", "script.sql"]),
        Self.tidemark("tidemark", "tidemark.yaml", lanes: 2),
        Self.tidemark("tidemark+timeline", "tidemark-timeline.yaml", hasTimeline: true, lanes: 1),
        Contestant(
            "script+timeline",
            .script("script-timeline.sql"),
            hasTimeline: true,
            ["table.sql", "script.sql", "script-timeline.sql"]
        ),
        Self.tidemark("tidemark+timeline", "tidemark-timeline.yaml", hasTimeline: true, lanes: 2),
    ]

    private static func tidemark(
        _ name: String,
        _ configuration: String,
        hasTimeline: Bool = false,
        lanes: Int
    ) -> Contestant {
        let kind = Kind.tidemark(configuration: configuration, lanes: lanes)
        return Contestant("\(name)-\(lanes)", kind, hasTimeline: hasTimeline, [configuration])
    }

    func runs(on shape: Shape) -> Bool {
        switch (self.kind, shape) {
        // The others measure nothing new there.
        case (.tidemark(_, let lanes), .large): lanes == 2 && !self.hasTimeline
        case (_, .large): false
        // An order of changes in which rows really change.
        case (.replication, _): shape == .steady
        default: true
        }
    }
}
