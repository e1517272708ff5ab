import ArgumentParser
import TidemarkCommands

@main
struct Tidemark {
    static func main() async {
        await TidemarkCommand.main()
    }
}
