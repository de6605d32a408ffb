/// Words that times have, whatever their case.
enum TimeWord {
    private static let months = [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december",
    ].map { Array($0.utf8) }
    private static let days = [
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    ].map { Array($0.utf8) }
    /// Zones, and how many hours they are ahead of UTC; nil: says nothing of hours.
    private static let zones: [(name: [UInt8], hours: UInt8?)] = [
        (Array("utc".utf8), nil), (Array("gmt".utf8), nil), (Array("msk".utf8), 3), (Array("msd".utf8), 4),
    ]

    private static func equal(_ word: UnsafeBufferPointer<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        word.count == name.count && zip(word, name).allSatisfy { $0 | 0x20 == $1 }
    }

    /// By the first three letters.
    static func month(_ word: UnsafeBufferPointer<UInt8>) -> UInt8? {
        let head = UnsafeBufferPointer(rebasing: word.prefix(3))
        return months.firstIndex { equal(head, $0.prefix(3)) }.map { UInt8($0 + 1) }
    }

    static func isDay(_ head: UnsafeBufferPointer<UInt8>) -> Bool { days.contains { equal(head, $0.prefix(3)) } }

    static func zone(_ head: UnsafeBufferPointer<UInt8>) -> UInt8?? {
        zones.first { equal(head, $0.name[...]) }.map { $0.hours }
    }

    /// Of a month or a day of the week.
    static func isFullName(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
        months.contains { equal(word, $0[...]) } || days.contains { equal(word, $0[...]) }
    }
}
