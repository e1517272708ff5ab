import PlatformC

/// What the argument parser writes, at the width of the terminal.
public enum HelpText {
    /// Narrower than this it ends the process.
    private static let narrowest = 40

    /// Has the argument parser take a terminal that is very narrow for a wider one.
    public static func widenNarrowTerminal() {
        guard let width = self.width, width < self.narrowest else { return }
        setenv("COLUMNS", "\(self.narrowest)", 1)
    }

    /// Of the environment, or of the terminal; `nil` where there is none.
    private static var width: Int? {
        if let text = getenv("COLUMNS"), let columns = Int(String(cString: text)) { return columns }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Breaks the line of usage, which the argument parser leaves as long as it is.
    public static func wrapped(_ text: String) -> String {
        let width = min(max(self.width ?? 80, self.narrowest), 80)
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let isUsage = line.lowercased().hasPrefix("usage: ")
            return isUsage ? self.wrapped(usage: line, width) : String(line)
        }.joined(separator: "\n")
    }

    /// What an argument is refused with: it repeats the argument, which may hold what a terminal would obey.
    public static func refusal(_ text: String) -> String { self.wrapped(Terminal.escapedLines(text)) }

    private static func wrapped(usage line: Substring, _ width: Int) -> String {
        let indent = "       "
        var lines: [String] = []
        var current = ""
        for part in self.parts(of: line) {
            if !current.isEmpty, current.count + 1 + part.count > width {
                lines.append(current)
                current = indent + part
            } else {
                current += current.isEmpty ? part : " " + part
            }
        }
        return (lines + [current]).joined(separator: "\n")
    }

    /// Its words; an option stays with its value.
    private static func parts(of line: Substring) -> [String] {
        var parts: [String] = []
        var depth = 0
        for word in line.split(separator: " ") {
            if depth > 0, let last = parts.popLast() {
                parts.append("\(last) \(word)")
            } else {
                parts.append(String(word))
            }
            depth += word.count { $0 == "[" || $0 == "(" } - word.count { $0 == "]" || $0 == ")" }
        }
        return parts
    }
}
