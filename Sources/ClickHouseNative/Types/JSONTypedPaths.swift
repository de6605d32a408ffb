extension DataType {
    /// The paths of a JSON type that have a type of their own, in its name's order: `a.b` of `JSON(a.b UInt8, SKIP c)`.
    /// Empty for every other type.
    ///
    /// - Throws: `DataTypeError` for a path's type that is not known.
    public func typedPaths() throws(DataTypeError) -> [ColumnDefinition] {
        guard case .json(let name) = self, let open = name.utf8.firstIndex(of: UInt8(ascii: "(")) else { return [] }
        var paths: [ColumnDefinition] = []
        for argument in Self.arguments(Array(name.utf8[name.utf8.index(after: open)...].dropLast())) {
            var path: [UInt8] = []
            var rest = argument[...]
            // Parts of the path may stand between backticks.
            while let byte = rest.first, byte != 0x20 {
                rest = rest.dropFirst()
                guard byte == UInt8(ascii: "`") else {
                    path.append(byte)
                    continue
                }
                while let inner = rest.popFirst(), inner != UInt8(ascii: "`") {
                    path.append(inner == UInt8(ascii: "\\") ? rest.popFirst() ?? inner : inner)
                }
            }
            // A limit (`max_dynamic_paths=3`) has no space, and what is skipped has no type.
            guard !rest.isEmpty, path != Array("SKIP".utf8) else { continue }
            paths.append(
                ColumnDefinition(
                    name: String(decoding: path, as: UTF8.self),
                    type: try DataType(parsing: String(decoding: rest, as: UTF8.self))))
        }
        return paths
    }

    /// What stands between the commas that are within no parentheses or quotes, without spaces around it.
    private static func arguments(_ text: [UInt8]) -> [[UInt8]] {
        var arguments: [[UInt8]] = [[]]
        var open = 0
        var quote: UInt8?
        var isEscaped = false
        for byte in text {
            if let current = quote {
                arguments[arguments.count - 1].append(byte)
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == current {
                    quote = nil
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "'"), UInt8(ascii: "`"): quote = byte
            case UInt8(ascii: "("): open += 1
            case UInt8(ascii: ")"): open -= 1
            case UInt8(ascii: ",") where open == 0:
                arguments.append([])
                continue
            case 0x20 where arguments[arguments.count - 1].isEmpty: continue
            default: break
            }
            arguments[arguments.count - 1].append(byte)
        }
        return arguments.filter { !$0.isEmpty }
    }
}
