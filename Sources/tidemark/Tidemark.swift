import ArgumentParser
import Foundation
import TidemarkCommands

@main
struct Tidemark {
    static func main() async {
        // A reader of the log that leaves must not end a service: writes fail instead.
        signal(SIGPIPE, SIG_IGN)
        await TidemarkCommand.main()
    }
}
