// Unsafe by design. The invariant: a plan's arrays are written in init and only read afterwards, but for `state`, which belongs to
// the one worker that reads rows by the plan. They are freed by `deallocate()`, which the field plan calls when it ends; what
// rules point to is freed by the rule set, which the field plan holds.

import ClickHouseNative
import Pipeline

/// What is asked of one column: plain bytes, no references to count.
struct ColumnRule {
    enum Action: UInt8 {
        /// The value is read as ever.
        case plain
        /// Read as a text, looked at and stored, or another one in its place.
        case text
        /// Read and stored, then looked at.
        case fixed
        /// Passed over; NULL or the default is stored.
        case drop
        /// Passed over; `fill` is stored.
        case constant
    }

    enum Redaction: UInt8 {
        case none
        /// `mask` in its place.
        case maskAll
        /// Signs in place of all characters but the last `keepLast`.
        case maskStart
        case hashText, hashBytes, hashNumber
        /// An address as text, as a number, as bytes.
        case address, ipv4, ipv6
    }

    let column: Int32
    var action = Action.plain
    var redaction = Redaction.none
    var isRequired = false
    /// Its value decides whether the row is kept.
    var isSampled = false
    /// Constants and defaults: JSON and a newline.
    var fill: Bytes?
    var fillEnd: Bytes?

    // Texts:
    var hasLength = false
    var countsCharacters = false
    var bytesMin = 0
    var bytesMax = Int.max
    var charactersMin = 0
    var charactersMax = Int.max
    var names: KeyIndex?
    var pattern: Unmanaged<TextPattern>?

    // Values with an order:
    var order = ValueOrder.signed
    var hasRange = false
    var keyMin = UInt128.min
    var keyMax = UInt128.max
    /// Sorted.
    var values: UnsafePointer<UInt128>?
    var valueCount = 0

    // Redaction:
    var mask: Bytes?
    var maskEnd: Bytes?
    var keepLast = 0
    var hashKey: Unmanaged<PseudonymKey>?
    var ipv4Prefix = 0
    var ipv6Prefix = 0

    init(column: Int32) { self.column = column }

    var hasTextChecks: Bool { hasLength || names != nil || pattern != nil }
}

/// What the rules have of the row that is being read.
struct RowRuleState {
    /// Where the newest key that is no column's begins, at its quote.
    var key: Bytes?
    /// Unknown fields, without the closing brace.
    var collected = ByteRun()
    /// What is stored in place of a text.
    var output = ByteRun()
    var sampleHash: UInt64 = 0
    var hasSample = false
    /// Of chance (SplitMix64).
    var random: UInt64 = 0
}

/// A rule set as the rows of one field plan need it.
struct RulePlan {
    /// By the number in the `detail` of an operation of kind `ruled`.
    let columns: UnsafeMutablePointer<ColumnRule>
    /// How the column would be read without rules, by the same number.
    let operations: UnsafeMutablePointer<FieldOperation>
    let state: UnsafeMutablePointer<RowRuleState>
    /// Keys from this number on are the rules'.
    let firstKey: Int
    /// The columns that they stand for; -1: none.
    private let keyColumns: UnsafeMutablePointer<Int>
    /// Numbers of columns with rules.
    private let requiredColumns: UnsafeMutablePointer<Int>
    let requiredCount: Int
    private let filledRules: UnsafeMutablePointer<Int>
    let filledCount: Int
    let collecting: Int
    let collectedBytesMax: Int
    let keepOneIn: UInt64
    let samplesByField: Bool

    /// - Parameters:
    ///   - operations: of a field plan; those of columns with rules are replaced.
    ///   - firstKey: behind the table's own keys.
    ///   - seed: of chance.
    init(_ set: RuleSet, _ plan: inout [FieldOperation], omitted: Set<Int>, firstKey: Int, seed: UInt64) {
        let rules = set.columns.sorted { $0.key < $1.key }
        columns = .allocate(capacity: max(1, rules.count))
        operations = .allocate(capacity: max(1, rules.count))
        state = .allocate(capacity: 1)
        state.initialize(to: RowRuleState())
        state.pointee.random = seed
        for (number, (place, rule)) in rules.enumerated() {
            (columns + number).initialize(to: rule)
            (operations + number).initialize(to: plan[place])
            // A value for a column that the plan leaves out sends the row to another plan.
            guard !omitted.contains(place) else { continue }
            var ruled = FieldOperation(kind: .ruled)
            ruled.takesNull = plan[place].takesNull
            ruled.hasExpression = plan[place].hasExpression
            ruled.root = plan[place].root
            ruled.value = plan[place].value
            ruled.detail = Int32(number)
            plan[place] = ruled
        }
        self.firstKey = firstKey
        keyColumns = Self.array(set.keys.map(\.column))
        requiredColumns = Self.array(set.required)
        requiredCount = set.required.count
        filledRules = Self.array(set.filled.compactMap { place in rules.firstIndex { $0.key == place } })
        filledCount = set.filled.count
        collecting = set.collecting
        collectedBytesMax = set.rules.unknownFields.bytesMax
        keepOneIn = UInt64(set.rules.sample.keepOneIn ?? 1)
        samplesByField = set.rules.sample.by != nil
    }

    private static func array(_ values: [Int]) -> UnsafeMutablePointer<Int> {
        let run = UnsafeMutablePointer<Int>.allocate(capacity: max(1, values.count))
        run.initialize(from: values, count: values.count)
        return run
    }

    func column(ofKey key: Int) -> Int { keyColumns[key - firstKey] }
    func required(_ number: Int) -> Int { requiredColumns[number] }
    func filled(_ number: Int) -> Int { filledRules[number] }

    func deallocate() {
        state.pointee.collected.deallocate()
        state.pointee.output.deallocate()
        state.deallocate()
        columns.deallocate()
        operations.deallocate()
        keyColumns.deallocate()
        requiredColumns.deallocate()
        filledRules.deallocate()
    }

    // MARK: Rows

    /// Another row begins.
    func begin() {
        state.pointee.collected.truncate(to: 0)
        state.pointee.hasSample = false
    }

    /// Whether the row that was read is one of those that are kept.
    func keepsRow() -> Bool {
        guard keepOneIn > 1 else { return true }
        if samplesByField { return !state.pointee.hasSample || state.pointee.sampleHash % keepOneIn == 0 }
        state.pointee.random &+= 0x9E37_79B9_7F4A_7C15
        return Self.mixed(state.pointee.random) % keepOneIn == 0
    }

    /// The same on every daemon and in every run, so that all rows of a value stay together.
    static func hash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return mixed(hash)
    }

    /// All bits depend on all bits (SplitMix64's finalizer, Steele, Lea and Flood, 2014).
    private static func mixed(_ value: UInt64) -> UInt64 {
        var bits = value
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }
}
