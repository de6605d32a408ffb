// Unsafe by design: owns the words that `RowParser` learns the order of keys in; they are as many as the plan has keys, and two, for as
// long as the object lives.

import ClickHouseNative

/// How rows are read, and what order their keys had. Belongs to one worker.
final class LearnedPlan {
    let plan: FieldPlan
    /// For each key, the one that came behind it.
    let successors: UnsafeMutablePointer<Int32>

    init(_ plan: FieldPlan) {
        self.plan = plan
        let words = plan.keys.count + 2
        successors = .allocate(capacity: words)
        successors.initialize(repeating: -1, count: words)
    }

    deinit { successors.deallocate() }
}

/// Plans of tables without rules. Tables of one structure have the same one: rows of a thousand of them, mixed, are read by what is in the
/// processor's caches. Belongs to one worker.
final class KnownPlans {
    private struct Key: Hashable {
        let structure: TableStructure
        let omitted: Set<Int>
        let options: RowOptions
    }

    private var plans: [Key: LearnedPlan] = [:]
    /// Plans that are remembered; beyond it the memory starts anew, and tables share less.
    private static let plansMax = 256

    /// - Parameters:
    ///   - rules: what is asked of the table's rows; with some, the plan is this table's own.
    ///   - seed: of chance, where they leave something to it.
    ///   - pool: where blocks are shared with tables of the same columns.
    /// - Throws: `TimeZoneError` for a zone that this host does not know.
    func plan(
        of structure: TableStructure, omitting omitted: Set<Int> = [], options: RowOptions, rules: RuleSet?,
        seed: UInt64, pool: BlockPool
    ) throws -> LearnedPlan {
        let key = Key(structure: structure, omitted: omitted, options: options)
        if rules == nil, let known = plans[key] { return known }
        let plan = LearnedPlan(
            try FieldPlan(structure, omitting: omitted, options: options, rules: rules, seed: seed, pool: pool))
        guard rules == nil else { return plan }
        if plans.count >= Self.plansMax { plans.removeAll() }
        plans[key] = plan
        return plan
    }
}
