/// `${NAME}` and `${NAME:-default}` in a value are replaced by environment variables; `$${` stands for `${`.
struct VariableSubstitution {
    /// The text with everything replaced, and the names of the variables that it used.
    struct Outcome: Equatable {
        var text = ""
        var variables: [String] = []
    }

    enum Problem: Error, Equatable {
        case unset(name: String)
        /// `${` without its brace, or with something that is no name.
        case malformed
    }

    let environment: [String: String]

    /// A default is taken as it stands; it is not searched for further variables.
    func apply(to text: String) throws(Problem) -> Outcome {
        var outcome = Outcome()
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            outcome.text += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                outcome.text += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let close = rest.firstIndex(of: "}") else { throw .malformed }
                try replace(rest[..<close].dropFirst(2), into: &outcome)
                rest = rest[rest.index(after: close)...]
            } else {
                outcome.text += "$"
                rest = rest.dropFirst()
            }
        }
        outcome.text += rest
        return outcome
    }

    private func replace(_ reference: Substring, into outcome: inout Outcome) throws(Problem) {
        let separator = reference.firstRange(of: ":-")
        let name = String(separator.map { reference[..<$0.lowerBound] } ?? reference)
        let fallback = separator.map { reference[$0.upperBound...] }
        guard let first = name.utf8.first, !(0x30...0x39).contains(first),
            name.utf8.allSatisfy({ $0 == 0x5F || (0x30...0x39).contains($0) || Self.isLetter($0) })
        else { throw .malformed }
        outcome.variables.append(name)
        // As in a shell: `:-` also stands in for a variable that is set to nothing.
        if let value = environment[name], !(value.isEmpty && fallback != nil) {
            outcome.text += value
        } else if let fallback {
            outcome.text += fallback
        } else {
            throw .unset(name: name)
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}
