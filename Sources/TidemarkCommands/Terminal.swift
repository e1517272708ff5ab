import Foundation
import Synchronization
import TidemarkCore

/// Prints text for terminals, with control characters in data escaped.
enum Terminal {
    /// Escapes control and format characters and the separators of lines and paragraphs, so that data can neither move
    /// the cursor nor hide, nor change the order in which other text is shown.
    static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: \.isUnsafeOnTerminals) else { return text }
        var output = ""
        for scalar in text.unicodeScalars {
            if !scalar.isUnsafeOnTerminals {
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

    /// Prints JSON, with escapes for what a terminal would obey.
    static func print(json: String) { Self.print(JSONOutput.shown(json)) }

    static func print(_ text: String) {
        Self.write(Data((text + "\n").utf8))
    }

    static func printError(_ text: String) {
        Self.writeError(Data((text + "\n").utf8))
    }

    /// `errno` of the first write to standard output that failed. The command goes on to its end, where its exit code is 1.
    static var outputFailure: Int32? { Self.failedOutput.withLock { $0 } }
    private static let failedOutput = Mutex<Int32?>(nil)

    /// Writes to standard output, unless that has failed.
    static func write(_ data: Data) {
        guard Self.outputFailure == nil, let code = Self.write(data, to: STDOUT_FILENO) else { return }
        Self.failedOutput.withLock { $0 = code }
    }

    /// Writes to standard error. What cannot be written is dropped: a full disk of a log does not end a service.
    static func writeError(_ data: Data) { _ = Self.write(data, to: STDERR_FILENO) }

    /// - Returns: `errno` where not all of it could be written.
    static func write(_ data: Data, to descriptor: Int32) -> Int32? {
        data.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if count < 0, errno == EAGAIN {
                    // The terminal or pipe does not block, and is full.
                    var pipe = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&pipe, 1, -1)
                } else if count == 0 || errno != EINTR {
                    return count == 0 ? EIO : errno
                }
            }
            return nil
        }
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
