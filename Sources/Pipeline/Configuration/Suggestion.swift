/// Which known word somebody may have meant.
public enum Suggestion {
    /// The nearest of `candidates`, if it is near enough to be meant: a third of the word may differ.
    public static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let limit = max(1, word.count / 3)
        let lowered = Array(word.lowercased().utf8)
        return
            candidates
            .map { (candidate: $0, distance: distance(lowered, Array($0.lowercased().utf8))) }
            .filter { $0.distance <= limit }
            .min { ($0.distance, $0.candidate) < ($1.distance, $1.candidate) }?
            .candidate
    }

    /// Edits that turn one word into the other: insert, delete, replace, swap two neighbours (Damerau–Levenshtein,
    /// each pair swapped at most once).
    static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for (row, letter) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var best = min(
                    last[column + 1] + 1, current[column] + 1, last[column] + (letter == other ? 0 : 1))
                if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                current.append(best)
            }
            (beforeLast, last) = (last, current)
        }
        return last[right.count]
    }
}
