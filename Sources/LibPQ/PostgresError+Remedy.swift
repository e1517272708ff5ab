extension PostgresError {
    /// Every session asks for writable transactions, so only a server in recovery refuses a write with this.
    package var isReadOnlyServer: Bool { self.sqlState == "25006" }

    /// What an operator can do about it; `nil` where that is not known.
    package var remedy: String? {
        switch (self.sqlState, self.sqlStateClass) {
        case ("25006", _):
            return "the server is a standby, which takes no writes: name the primary, or all servers with "
                + "target_session_attrs=read-write"
        case ("28P01", _), ("28000", _):
            return "correct the user or the password (DATABASE_URL, PGPASSWORD, a password file), or pg_hba.conf"
        case ("3D000", _): return "create it (createdb), or name another one"
        case ("42501", _):
            return "`tidemark migrate --print` prints the rights that a role needs; the database's owner gives them"
        // One of the schema that every projection shares.
        case ("42P01", _) where self.message.contains("\"tidemark."):
            return "restore the schemas tidemark and tidemark_internal from one back-up"
        case ("42P01", _):
            return "restore it from a back-up, or `tidemark drop PROJECTION` and read its logs again"
        case ("57014", _):
            return
                "a request to cancel it or a time limit ended it (`statement_timeout` of the role or the database); try "
                + "again"
        case ("53100", _):
            return
                "free space on the disk of the database; nothing is lost: a service goes on by itself, another command is "
                + "run again"
        case ("53300", _): return "raise max_connections, or lower `lanes` or the number of processes"
        default:
            guard self.sqlState == nil || self.sqlStateClass == "57", self.isConnectionLoss || self.isRetriable else {
                return nil
            }
            if self.message.contains("Too many open files") {
                return "raise the limit of open files (ulimit -n, LimitNOFILE=)"
            }
            return "start PostgreSQL, or correct host and port"
        }
    }
}
