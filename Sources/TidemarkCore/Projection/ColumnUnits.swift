/// The units that a projection's columns were found to count, by the columns' names.
package typealias ColumnUnits = [String: ValueEncoding]

/// What a projection's messages say of themselves where the configuration does not: found at the beginning of what is
/// read, and stored with the projection, so that no later message is read otherwise.
package struct DetectedReadings: Sendable, Equatable {
    /// The kind of position that `$position` compares, by projection.
    package var positionKinds: [String: Position.Kind]
    /// The units of dates and timestamps that come as numbers, by projection.
    package var units: [String: ColumnUnits]

    package init(positionKinds: [String: Position.Kind] = [:], units: [String: ColumnUnits] = [:]) {
        self.positionKinds = positionKinds
        self.units = units
    }

    package var isEmpty: Bool { self.positionKinds.isEmpty && self.units.isEmpty }

    /// Adds what is not known yet.
    package mutating func add(_ found: DetectedReadings) {
        self.positionKinds.merge(found.positionKinds) { known, _ in known }
        self.units.merge(found.units) { known, found in known.merging(found) { known, _ in known } }
    }
}

/// Counts the numbers of one column by the unit that they can only be in, to tell the column's unit.
///
/// A number is unambiguous where it is a time from 1990 to 2100 in exactly one unit. Zeros, `-1`, sentinels such as
/// 9999-12-31 and Debezium's infinities are in no unit's range, and take no part.
package struct UnitTally: Sendable {
    /// How many numbers are unambiguously of each unit.
    package private(set) var counts: [ValueEncoding: Int] = [:]
    /// Numbers that tell no unit.
    package private(set) var ambiguous = 0
    private let units: [ValueEncoding]

    /// 1990-01-01 and 2100-01-01, in days since 1970.
    private static let days: Range<Int64> = 7305..<47_482

    /// - Parameter type: a date's numbers can count days too. A timestamp's are never taken for days: a small number
    ///   there is rather a time close to 1970, such as the zero of another time zone. A time of day tells nothing.
    package init(_ type: ColumnType) {
        self.units = type.isInstant ? type.timeUnits.filter { $0 != .epochDays || type == .date } : []
    }

    package var isEmpty: Bool { self.counts.isEmpty && self.ambiguous == 0 }

    /// The unit that at least nine of ten unambiguous numbers are of. One odd value in ten does not keep a column from
    /// being read; a column that mixes units is not known, whichever of them came first.
    package var unit: ValueEncoding? {
        let total = self.counts.values.reduce(0, +)
        return self.counts.first { $0.value * 10 >= total * 9 }?.key
    }

    package mutating func count(_ literal: Span<UInt8>) {
        guard let unit = Self.wholePart(literal).flatMap(self.unambiguousUnit(of:)) else {
            self.ambiguous += 1
            return
        }
        self.counts[unit, default: 0] += 1
    }

    /// The ranges of the units have no number in common.
    private func unambiguousUnit(of number: Int64) -> ValueEncoding? {
        self.units.first { unit in
            let factor = Self.perDay(unit)
            return number >= Self.days.lowerBound * factor && number < Self.days.upperBound * factor
        }
    }

    private static func perDay(_ unit: ValueEncoding) -> Int64 {
        switch unit {
        case .epochSeconds: 86_400
        case .epochMilliseconds: 86_400_000
        case .epochMicroseconds: 86_400_000_000
        case .epochNanoseconds: 86_400_000_000_000
        default: 1
        }
    }

    /// The digits before the point of a positive number.
    private static func wholePart(_ literal: Span<UInt8>) -> Int64? {
        var decimal = Decimal()
        guard decimal.parse(literal), !decimal.isNegative else { return nil }
        decimal.normalize()
        let count = decimal.digits.count - decimal.scale
        guard (1...19).contains(count) else { return nil }
        var number: Int64 = 0
        for index in 0..<count {
            let digit = index < decimal.digits.count ? Int64(decimal.digits[index]) : 0
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, overflowAgain) = product.addingReportingOverflow(digit)
            guard !overflow, !overflowAgain else { return nil }
            number = sum
        }
        return number
    }
}

extension [ProjectionDefinition.Column] {
    /// With the units written out where no encoding is.
    func declaring(_ units: ColumnUnits) -> Self {
        self.map { column in
            guard column.encoding == .none, column.type.isInstant, let unit = units[column.name] else { return column }
            var column = column
            column.encoding = unit
            return column
        }
    }
}

extension ProjectionDefinition {
    /// As if the units stood in the configuration.
    package func declaring(_ units: ColumnUnits) -> ProjectionDefinition {
        var definition = self
        definition.columns = self.columns?.declaring(units)
        for case .column(let name, let type?) in self.sequence where type.isInstant {
            guard self.sequenceEncodings[name] == nil, let unit = units[name] else { continue }
            definition.sequenceEncodings[name] = unit
        }
        return definition
    }
}
