import TidemarkCore

/// Numbers and times at their types' limits.
extension LimitValues {
    mutating func numberText(_ type: ColumnType, isUnsigned: Bool) -> String {
        let text: String
        switch type {
        case .numeric(let precision, let scale):
            if self.random.chance(8) { return self.specialText() }
            text = self.decimalText(precision ?? self.pick([1, 18, 19, 40, 400]), scale)
        case .real, .doublePrecision:
            if self.random.chance(8) { return self.specialText() }
            text = self.floatText()
        default: text = self.integerText(isUnsigned: isUnsigned)
        }
        switch self.random.below(12) {
        case 0: return "0" + text
        case 1: return text + (text.contains(".") ? "0" : ".0")
        case 2:
            return text
                + self.pick(["e0", "e1", "E-1", "e+18", "e-19", "e20", "e-1000", "e999", "e-99999", "e999999999"])
        case 3: return self.pick(["+", " ", "--"]) + text
        case 4: return text + self.pick(["", " ", ".", "x", "e", "_1"])
        default: return text
        }
    }

    private mutating func specialText() -> String {
        self.pick([
            "NaN", "nan", "Infinity", "-Infinity", "inf", "+inf", "NAN", "POSITIVE_INFINITY", "NEGATIVE_INFINITY",
            "-nan",
            "Infinit", "infinity ",
        ])
    }

    private mutating func integerText(isUnsigned: Bool) -> String {
        let limits: [Int128] = [
            0, 1, 9, 10, 32_767, 65_535, 2_147_483_647, 4_294_967_295, 999_999_999_999_999_999,
            9_223_372_036_854_775_807,
            18_446_744_073_709_551_615, 9_007_199_254_740_992, 99_999_999, 100_000_000,
        ]
        let value = self.pick(limits) + Int128(self.random.below(3)) - 1
        return self.random.chance(40) ? "\(-value)" : "\(value)"
    }

    /// Around as many digits as there may be, before the point and behind it.
    private mutating func decimalText(_ precision: Int, _ scale: Int) -> String {
        let sign = self.random.chance(30) ? "-" : ""
        let nearby = self.random.below(3) - 1
        let whole = max(0, self.pick([precision - scale, precision - scale + nearby, 1, 0, 17, 18, 19]))
        let fraction = max(0, self.pick([scale, scale + nearby, 0, 0, 2, 17, 18, 19]))
        switch self.random.below(6) {
        case 0: return sign + "0." + String(repeating: "0", count: max(1, fraction))
        case 1: return sign + "0"
        case 2: return sign + self.digits(max(1, whole)) + String(repeating: "0", count: max(0, -scale + nearby))
        default:
            let digits = self.digits(whole)
            let shown = digits.isEmpty || self.random.chance(5) ? "0" : String(digits.drop { $0 == "0" })
            let point = fraction > 0 ? "." + self.digits(fraction) : ""
            return sign + (shown.isEmpty ? "0" : shown) + point
        }
    }

    private mutating func floatText() -> String {
        let edges = [
            "0", "-0", "-0.0", "0e-400", "5.610000133514404", "3.4028234663852886e38", "3.4028235e38", "3.4028236e38",
            "1.1754943508222875e-38", "1.401298464324817e-45", "1e-46", "16777216", "16777217", "9007199254740992",
            "9007199254740993", "1.7976931348623157e308", "1.7976931348623159e308", "4.9e-324", "5e-324", "2e-324",
            "0.1000000000000000055511151231257827021181583404541015625", "123456789012345678", "1e17", "1e18", "1e23",
        ]
        switch self.random.below(5) {
        case 0, 1: return self.pick(edges)
        case 2:
            let double = Double(bitPattern: self.random.next())
            return double.isFinite ? "\(double)" : "1"
        case 3:
            let float = Float(bitPattern: UInt32(truncatingIfNeeded: self.random.next()))
            return float.isFinite ? (self.random.chance(50) ? "\(float)" : "\(Double(float))") : "1"
        default: return self.decimalText(self.pick([7, 9, 15, 17, 20]), self.pick([0, 2, 5, 9]))
        }
    }

    // MARK: Times

    mutating func timeText() -> String {
        self.pick([
            "00:00:00", "23:59:59.999999", "24:00:00", "24:00:00.000001", "09:30:15.1234567", "09:30:15.1000000",
            "9:30",
            "09:30", "23:59:60", "25:00:00", "09:30:15Z", "838:59:59", "-01:00:00", "09:30:15.",
        ])
    }

    mutating func timestampText(_ type: ColumnType) -> String {
        if self.random.chance(8) { return self.pick(["infinity", "-infinity", "Infinity", "-infinity BC", "epoch"]) }
        let year = self.pick([
            "0000", "0001", "-0001", "-4713", "-4712", "4713", "4714", "44", "0044", "1969", "1970", "2026", "9999",
            "10000",
            "+10000", "294246", "294247", "294276", "294277", "5874897", "5874898", "9999999", "-9999999", "10000000",
        ])
        let day = self.pick(["01-01", "12-31", "11-24", "11-23", "02-29", "00-00", "01-10", "3-1", "02-30", "13-01"])
        var text = "\(year)-\(day)"
        if type != .date || self.random.chance(20) {
            text += self.pick([" ", "T", ""]) + self.pick([self.timeText(), "00:00:00", "04:00:54.775807", ""])
            text += self.pick(["", "", "Z", "+00:00", "+15:59", "-15:59", "+08", " +0530", "+00:19:32", "+16:00", "-"])
        }
        return text + self.pick(["", "", "", " BC", " AD", "BC", " bc"])
    }

    mutating func epochText(_ type: ColumnType, _ encoding: ValueEncoding) -> String {
        // Days since 1970 at which dates and timestamps begin and end, and 64 bits of microseconds.
        let days: [Int128] = [
            -2_440_588, -719_528, -719_162, -1, 0, 1, 20_513, 2_932_896, 106_751_991, 106_762_940, 2_145_042_905,
            2_145_042_906, 10_957,
        ]
        let unit: Int128 =
            switch encoding {
            case .epochSeconds: 86_400
            case .epochMilliseconds: 86_400_000
            case .epochNanoseconds: 86_400_000_000_000
            case .epochDays: 1
            default: type == .date ? 1 : 86_400_000_000
            }
        let edges: [Int128] = [
            9_223_372_036_825_200_000, -9_223_372_036_832_400_000, 9_223_372_036_825_200, -9_223_372_036_832_400,
            Int128(Int64.max), Int128(Int64.min), Int128(UInt64.max), 86_400_000_000, 86_399_999_999,
        ]
        let value = self.random.chance(70) ? self.pick(days) * unit : self.pick(edges)
        let nearby = value + Int128(self.random.below(3)) - 1
        return "\(nearby)" + self.pick(["", "", "", "", ".5", ".0", ".123456", ".1234567891", "e3", "e-3"])
    }
}
