import Foundation

/// Prints text for terminals, with control characters in data escaped.
enum Terminal {
    /// Escapes control and format characters and the separators of lines and paragraphs, so that data can neither move
    /// the cursor nor hide, nor change the order in which other text is shown.
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

    /// All control and format characters, which are invisible, but those that visible text is made with: the joiners of
    /// emoji and Indic and Persian words, and the signs in front of Arabic numbers, which are visible.
    static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0: return true
        case 0x20..<0x7F, 0x200C, 0x200D, 0x0600...0x0605, 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2: return false
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return true
        default: return false
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
        let widths = (0..<columns).map { column in cells.map { Self.width($0[column]) }.max() ?? 0 }
        let fixed = widths.dropLast().reduce(0) { $0 + $1 + 2 }
        let lines = cells.map { row in
            var line = ""
            for column in 0..<(columns - 1) {
                line += Self.padded(row[column], to: widths[column] + 2)
            }
            return line + Self.shortened(row[columns - 1], to: max(12, width - fixed))
        }
        return lines.map { String($0.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n")
    }
}
