import Synchronization

/// How a source of followed files is.
package struct FollowState: Sendable, Hashable {
    package struct Problem: Sendable, Hashable {
        package var file: String
        package var reason: String
        package var remedy: String
    }

    /// How many files are followed, those included that another process reads.
    package var files = 0
    /// Why nothing is followed yet.
    package var waiting: String?
    /// What cannot be read at the moment, by file. Each is tried again by itself.
    package var failing: [Problem] = []

    package init() {}
}

/// How long a source of followed files waits for what.
package struct FollowTiming: Sendable {
    /// Files are looked at so often, whatever notifications come.
    package var poll: Duration = .seconds(1)
    /// Folders are listed so often.
    package var list: Duration = .seconds(5)
    /// The streams of the pass are asked for so often: another process may have left one.
    package var known: Duration = .seconds(10)
    /// A file that was moved out of the paths ends after it has been quiet for so long; so does a compressed file that
    /// is cut short.
    package var rotationGrace: Duration = .seconds(10)
    /// What may become a copy of another file is a file of its own after it has been quiet for so long.
    package var copyGrace: Duration = .seconds(5)
    /// A compressed file that is whole ends after it has been quiet for so long.
    package var memberGrace: Duration = .seconds(5)
    /// A last line without its end that is whole all the same is delivered after so long.
    package var lineGrace: Duration = .seconds(1)
    /// A file that has been quiet for so long keeps no open descriptor.
    package var closeAfter: Duration = .seconds(60)
    /// The first and the longest delay after a failure.
    package var retry: Duration = .seconds(1)
    package var retryMax: Duration = .seconds(300)

    package init() {}
}

/// Collects how the parts of a source are, and tells it when it changes.
final class FollowBoard: Sendable {
    private let state = Mutex(FollowState())
    /// A source without anything to read runs too, which nothing changes.
    private let hasTold = Atomic(false)
    /// What the one that looks for files has told last.
    private let listed = Mutex<Set<String>>([])
    private let tell: @Sendable (FollowState) -> Void

    init(_ tell: @escaping @Sendable (FollowState) -> Void) { self.tell = tell }

    private func update(_ change: (inout FollowState) -> Void) {
        let isFirst = !self.hasTold.exchange(true, ordering: .relaxed)
        let changed = self.state.withLock { state -> FollowState? in
            let before = state
            change(&state)
            return state == before && !isFirst ? nil : state
        }
        if let changed { self.tell(changed) }
    }

    func reading(_ files: Int, waiting: String?) {
        self.update { state in
            state.files = files
            state.waiting = waiting
        }
    }

    func fail(_ file: String, _ reason: String, remedy: String) {
        self.update { state in
            state.failing.removeAll { $0.file == file }
            state.failing.append(FollowState.Problem(file: file, reason: reason, remedy: remedy))
            state.failing.sort { $0.file < $1.file }
        }
    }

    func fail(_ error: InputError) { self.fail(error.path, error.detail, remedy: Self.remedy(error)) }

    /// What cannot be read of what is looked for, in place of what was told before.
    func fail(_ errors: [String: InputError]) {
        let former = self.listed.withLock { listed in
            defer { listed = Set(errors.keys) }
            return listed
        }
        for path in former where errors[path] == nil { self.recover(path) }
        for error in errors.values { self.fail(error) }
    }

    func recover(_ file: String) {
        self.update { $0.failing.removeAll { $0.file == file } }
    }

    static let damageRemedy =
        "let the program that writes it finish, or replace it by an undamaged file of the same content"

    static func remedy(_ error: InputError) -> String {
        switch error.code {
        case .misnamed, .tooManyOpen: error.remedy ?? ""
        case .unreadable: "give the user that runs Tidemark the right to read it and to enter its folder"
        case .foreign: "convert it, or move it or correct the path so that it is not named; it is tried again by itself"
        case .truncated, .corrupt: self.damageRemedy
        case .missing, .noMatch, .emptyFolder: "create it, or correct the path in the configuration"
        case .changed, .interrupted: "nothing: it is looked at again"
        case .readFailed: "look for errors of the disk or of the network file system it is on"
        }
    }
}
