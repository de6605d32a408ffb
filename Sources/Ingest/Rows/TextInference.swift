// Unsafe by design: copies a text between a quote and a quote with a newline behind it, as LineCursor and BestEffortTime want it.

import ClickHouseNative

/// Whether a text is a date or a time, as ClickHouse's inference has it (Formats/SchemaInferenceUtils.cpp,
/// tryInferDateOrDateTimeFromString).
struct TextInference: Sendable {
    private let options: RowOptions

    /// Longest text that may be a time.
    private static let timeBytesMax = 50
    private static let secondsOfDay: Int64 = 86400
    /// What a DateTime64(9) can hold, in seconds either way.
    private static let nanosecondsMax: Int64 = 9_223_372_036

    init(_ options: RowOptions) { self.options = options }

    func type(of text: UnsafeRawBufferPointer) throws(ParseFault) -> InferredType {
        let digits = text.count { $0 &- 0x30 <= 9 }
        guard digits > 0, digits < text.count, text.count <= Self.timeBytesMax else { return .string }
        return try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: text.count + 3) { copy in
            copy[0] = UInt8(ascii: "\"")
            for place in 0..<text.count { copy[place + 1] = text[place] }
            copy[text.count + 1] = UInt8(ascii: "\"")
            copy[text.count + 2] = 0x0A
            let start = Bytes(copy.baseAddress!)
            return Result<InferredType, ParseFault> { () throws(ParseFault) in
                try type(of: LineCursor(start, end: start + text.count + 3), count: text.count)
            }
        }.get()
    }

    /// - Parameter quoted: at the opening quote, with so many bytes before the closing one.
    private func type(of quoted: LineCursor, count: Int) throws(ParseFault) -> InferredType {
        if options.infersDates, let date = try date(quoted, count) { return date }
        guard options.infersTimes, !isNumber(quoted, count) else { return .string }
        guard options.times != .basic else {
            guard mayBeATime(quoted.p + 1, count) else { return .string }
            throw ParseFault(.uncertainType)
        }
        if let seconds = try seconds(quoted, count, takesFraction: false) {
            // Near the borders the zone decides; there nothing is certain.
            let day = Self.secondsOfDay
            if seconds >= day, seconds <= Int64(UInt32.max) - day { return .dateTime }
            guard seconds < -day || seconds > Int64(UInt32.max) + day else { throw ParseFault(.uncertainType) }
        }
        guard let seconds = try seconds(quoted, count, takesFraction: true) else { return .string }
        guard seconds.magnitude <= UInt64(Self.nanosecondsMax - Self.secondsOfDay) else {
            throw ParseFault(.uncertainType)
        }
        return .dateTime64
    }

    /// A year, a month and a day with signs between them.
    private func date(_ quoted: LineCursor, _ count: Int) throws(ParseFault) -> InferredType? {
        guard (8...10).contains(count) else { return nil }
        let text = UnsafeBufferPointer(start: quoted.p + 1, count: count)
        let parts = text.split(omittingEmptySubsequences: false) { !($0 &- 0x30 <= 9) }
        guard parts.count == 3, parts[0].count == 4, (1...2).contains(parts[1].count), (1...2).contains(parts[2].count)
        else { return nil }
        let signs = (text[4], text[parts[2].startIndex - 1])
        let known = Array("-/:".utf8)
        guard known.contains(signs.0), known.contains(signs.1) else { return nil }
        var cursor = quoted
        // ClickHouse reads some days that do not exist.
        guard signs.0 == signs.1, let day = try? cursor.date(), day >= 0, day <= Int32(UInt16.max) else {
            throw ParseFault(.uncertainType)
        }
        return .date
    }

    private func isNumber(_ quoted: LineCursor, _ count: Int) -> Bool {
        var cursor = quoted
        cursor.p += 1
        return (try? cursor.skipNumber()) != nil && cursor.p == quoted.p + count + 1
    }

    /// Seconds since 1970 of a text that is a time by the strict rules of inference; nil: it is none.
    private func seconds(_ quoted: LineCursor, _ count: Int, takesFraction: Bool) throws(ParseFault) -> Int64? {
        var text = BestEffortTime(
            quoted.p + 1, isUS: options.times == .bestEffortUS, takesFraction: takesFraction, isStrict: true)
        do throws(ParseFault) {
            let (time, end) = try text.read(zone: nil, now: 0)
            return end == quoted.p + count + 1 ? time.seconds : nil
        } catch {
            guard error.code == .outOfRange else { return nil }
            throw ParseFault(.uncertainType)
        }
    }

    /// False where ClickHouse certainly reads no time by `basic`: it begins with four digits.
    private func mayBeATime(_ p: Bytes, _ count: Int) -> Bool {
        count >= 4 && (0..<4).allSatisfy { p[$0] &- 0x30 <= 9 } || (0..<count).count { p[$0] &- 0x30 <= 9 } >= 5
    }
}
