/// A Markdown table that also reads well as it is.
struct Table {
    private var rows: [[String]]
    private let isNumber: [Bool]

    /// - Parameter numbers: which columns are aligned to the right.
    init(_ titles: [String], numbers: ClosedRange<Int>) {
        self.rows = [titles]
        self.isNumber = titles.indices.map { numbers.contains($0) }
    }

    mutating func append(_ cells: [String]) {
        self.rows.append(cells)
    }

    var text: String {
        let widths = self.isNumber.indices.map { column in self.rows.map { $0[column].count }.max() ?? 0 }
        var lines = self.rows.map { row in
            let cells = row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return self.isNumber[column] ? space + row[column] : row[column] + space
            }
            return "| " + cells.joined(separator: " | ") + " |"
        }
        let rule = widths.indices.map { column in
            String(repeating: "-", count: widths[column] + 1) + (self.isNumber[column] ? ":" : "-")
        }
        lines.insert("|" + rule.joined(separator: "|") + "|", at: 1)
        return lines.joined(separator: "\n") + "\n"
    }
}

extension Double {
    /// With so many decimal places, without what a locale would add.
    func rounded(places: Int) -> String {
        var unit = 1
        for _ in 0..<places { unit *= 10 }
        let scaled = Int((self * Double(unit)).rounded())
        guard places > 0 else { return "\(scaled)" }
        let (whole, part) = abs(scaled).quotientAndRemainder(dividingBy: unit)
        let digits = "\(part)"
        let zeros = String(repeating: "0", count: places - digits.count)
        return "\(scaled < 0 ? "-" : "")\(whole).\(zeros)\(digits)"
    }

    /// `1,234,567`.
    var grouped: String {
        var digits = Array("\(Int(self.rounded()))")
        var place = digits.count - 3
        while place > 0 {
            digits.insert(",", at: place)
            place -= 3
        }
        return String(digits)
    }
}
