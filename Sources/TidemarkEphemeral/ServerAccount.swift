import PlatformC

/// The account of a private server. PostgreSQL refuses to run as root, so root runs it under another account.
struct ServerAccount: Sendable, Equatable {
    let userID: uid_t
    let groupID: gid_t
    let name: String
    /// Whether programs must be started under another account than this process.
    let isBorrowed: Bool

    /// The account of this process; for root the owner of `data` if there is one, else `postgres`, else `nobody`.
    static func choose(ownerOfData: uid_t?) throws(EphemeralServerError) -> ServerAccount {
        let own = geteuid()
        guard own == 0 else {
            if let ownerOfData, ownerOfData != own {
                throw EphemeralServerError(
                    code: .directoryUnusable,
                    message: "this folder was made by another user (its server runs as \(Self.describe(ownerOfData))): "
                        + "run as the user who made it, or name another folder"
                )
            }
            return ServerAccount(
                userID: own,
                groupID: getegid(),
                name: Self.lookUp(own)?.name ?? "\(own)",
                isBorrowed: false
            )
        }
        if let ownerOfData, ownerOfData != 0 {
            let found = Self.lookUp(ownerOfData)
            return ServerAccount(
                userID: ownerOfData,
                groupID: found?.groupID ?? gid_t(ownerOfData),
                name: found?.name ?? "\(ownerOfData)",
                isBorrowed: true
            )
        }
        for name in ["postgres", "nobody"] {
            if let found = Self.lookUp(name), found.userID != 0 { return found }
        }
        throw EphemeralServerError(
            code: .directoryUnusable,
            message:
                "PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody to run it as"
        )
    }

    static func describe(_ userID: uid_t) -> String {
        Self.lookUp(userID)?.name ?? "user \(userID)"
    }

    private static func lookUp(_ name: String) -> ServerAccount? {
        Self.lookUp { entry, buffer, size, result in getpwnam_r(name, entry, buffer, size, result) }
    }

    private static func lookUp(_ userID: uid_t) -> ServerAccount? {
        Self.lookUp { entry, buffer, size, result in getpwuid_r(userID, entry, buffer, size, result) }
    }

    private static func lookUp(
        _ read: (
            UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
        ) -> Int32
    ) -> ServerAccount? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
            var entry = passwd()
            var result: UnsafeMutablePointer<passwd>?
            guard let base = buffer.baseAddress, read(&entry, base, buffer.count, &result) == 0, result != nil else {
                return nil
            }
            return ServerAccount(
                userID: entry.pw_uid,
                groupID: entry.pw_gid,
                name: String(cString: entry.pw_name),
                isBorrowed: true
            )
        }
    }
}
