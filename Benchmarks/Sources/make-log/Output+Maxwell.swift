extension Output {
    /// One line as Maxwell writes it, about 350 bytes.
    mutating func appendMaxwell(_ row: Row, _ event: Log.Event) {
        self.append(#"{"database":"shop","table":"orders","type":"#)
        self.append(event.version == 1 ? #""insert""# : #""update""#)
        self.append(#","ts":"#)
        self.append(decimal: row.updatedAt)
        self.append(#","xid":"#)
        self.append(decimal: 5_000 + event.place)
        self.append(#","commit":true,"position":"mysql-bin.000001:"#)
        self.append(decimal: 4 + event.place * 400)
        self.append(#"","data":{"id":"#)
        self.append(decimal: row.id)
        self.append(#","customer":"c-"#)
        self.append(decimal: row.customer, width: 8)
        self.append(#"","status":""#)
        self.append(row.status)
        self.append(#"","amount":"#)
        self.append(decimal: row.cents / 100)
        self.append(".")
        self.append(decimal: row.cents % 100, width: 2)
        self.append(#","currency":""#)
        self.append(row.currency)
        self.append(#"","city":""#)
        self.append(row.city)
        self.append(#"","note":""#)
        self.append(row.note)
        self.append(#"","updated_at":""#)
        self.append(time: row.updatedAt)
        self.append(#"","version":"#)
        self.append(decimal: row.version)
        if let formerPlace = event.formerPlace {
            self.append(#"},"old":{"status":""#)
            self.append(row.formerStatus)
            self.append(#"","updated_at":""#)
            self.append(time: Row.second(of: formerPlace))
            self.append(#"","version":"#)
            self.append(decimal: row.version - 1)
        }
        self.append("}}\n")
    }

    /// Appends `YYYY-MM-DD HH:MM:SS`, UTC.
    private mutating func append(time second: Int) {
        let (days, rest) = second.quotientAndRemainder(dividingBy: 86_400)
        let (year, month, day) = Self.civil(days)
        self.append(decimal: year, width: 4)
        self.append("-")
        self.append(decimal: month, width: 2)
        self.append("-")
        self.append(decimal: day, width: 2)
        self.append(" ")
        self.append(decimal: rest / 3_600, width: 2)
        self.append(":")
        self.append(decimal: rest / 60 % 60, width: 2)
        self.append(":")
        self.append(decimal: rest % 60, width: 2)
    }

    /// The Gregorian date so many days after 1970-01-01. Years begin in March here, so that a leap day ends one.
    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let (era, dayOfEra) = shifted.quotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        return (era * 400 + yearOfEra + (month < 10 ? 0 : 1), month < 10 ? month + 3 : month - 9, day)
    }
}
