import Foundation

/// Prints text for terminals, with control characters in data escaped.
enum Terminal {
    /// Escapes control characters, the C1 set and bidirectional overrides among them, so that data can neither move
    /// the cursor nor hide behind other text.
    static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: Self.isUnsafe) else { return text }
        var output = ""
        for scalar in text.unicodeScalars {
            if !Self.isUnsafe(scalar) {
                output.unicodeScalars.append(scalar)
            } else if scalar == "\n" {
                output += "\\n"
            } else if scalar == "\t" {
                output += "\\t"
            } else {
                output += "\\u{" + String(scalar.value, radix: 16) + "}"
            }
        }
        return output
    }

    static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }

    static func print(_ text: String) {
        FileHandle.standardOutput.write(Data((text + "\n").utf8))
    }

    static func printError(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }

    static var isErrorInteractive: Bool { isatty(STDERR_FILENO) == 1 }

    /// `1,234,567`
    static func grouped(_ number: Int64) -> String {
        let digits = String(number.magnitude)
        var output = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { output += "," }
            output.append(digit)
        }
        return (number < 0 ? "-" : "") + output
    }

    static func size(_ bytes: Int64) -> String {
        var value = Double(bytes)
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1024 { return unit == "B" ? "\(bytes) B" : String(format: "%.1f \(unit)", value) }
            value /= 1024
        }
        return String(format: "%.1f TiB", value)
    }

    static func duration(_ seconds: Double) -> String {
        if seconds < 60 { return String(format: "%.1f s", seconds) }
        let whole = Int(seconds)
        return whole < 3600
            ? "\(whole / 60)m \(whole % 60)s" : "\(whole / 3600)h \(whole / 60 % 60)m"
    }

    /// Columns side by side, each as wide as its widest cell; the last one is cut where the line would be too long.
    static func table(_ rows: [[String]], width: Int = 80) -> String {
        guard let columns = rows.first?.count, columns > 0 else { return "" }
        let cells = rows.map { $0.map(Self.escaped) }
        let widths = (0..<columns).map { column in cells.map { $0[column].count }.max() ?? 0 }
        let fixed = widths.dropLast().reduce(0) { $0 + $1 + 2 }
        let lines = cells.map { row in
            var line = ""
            for column in 0..<(columns - 1) {
                line += row[column].padding(toLength: widths[column] + 2, withPad: " ", startingAt: 0)
            }
            let rest = max(12, width - fixed)
            let last = row[columns - 1]
            return line + (last.count > rest ? last.prefix(rest - 1) + "…" : last)
        }
        return lines.map { String($0.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n")
    }
}
