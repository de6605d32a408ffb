// Unsafe by design: copies whole runs of a complete block, which nobody writes to any more, behind those of another one; nodes of the
// two are of the same kinds and widths, which is compared first.

extension Block {
    /// Appends all rows of a column of another block to a column here, which must not have a value yet for the row that would be
    /// next. `commitRows` makes them rows of this block.
    ///
    /// - Parameters:
    ///   - source: complete.
    ///   - root: of the column in `source`.
    ///   - target: of the column here; its values must lie in memory as those of the source do.
    public func append(column root: Int, of source: Block, to target: Int) {
        pad(target, to: rows)
        append(root, of: source, to: target)
    }

    /// So many rows were appended to columns; those that got none lag behind.
    public func commitRows(_ count: Int) {
        rows += count
        for place in layout.stringsBelowArrays { nodes[place].mark = nodes[place].data.count }
    }

    private func append(_ place: Int, of source: Block, to target: Int) {
        let node = source.layout.nodes[place]
        let own = layout.nodes[target]
        precondition(node.kind == own.kind && node.width == own.width, "columns of equal shape")
        let count = source.nodes[place].rows
        switch node.kind {
        case .fixed: nodes[target].data.append(source.nodes[place].data.bytes)
        case .string:
            nodes[target].data.append(source.nodes[place].data.bytes)
            nodes[target].mark = nodes[target].data.count
        case .nullable, .variant:
            nodes[target].data.append(source.nodes[place].data.bytes)
            appendChildren(of: place, of: source, to: target)
        case .array:
            let before = UInt64(nodes[own.child].rows)
            nodes[target].data.reserve(count * 8)
            for row in 0..<count {
                nodes[target].data.append(source.nodes[place].data.load(UInt64.self, at: row * 8) + before)
            }
            append(node.child, of: source, to: own.child)
        case .tuple: appendChildren(of: place, of: source, to: target)
        case .lowCardinality:
            appendDictionary(place, of: source, to: target)
            return
        }
        nodes[target].rows += count
    }

    private func appendChildren(of place: Int, of source: Block, to target: Int) {
        let (from, to) = (source.layout.children(of: place), layout.children(of: target))
        precondition(from.count == to.count, "columns of equal shape")
        for (child, own) in zip(from, to) { append(child, of: source, to: own) }
    }

    /// Each distinct value is looked up once, then the places are copied.
    private func appendDictionary(_ place: Int, of source: Block, to target: Int) {
        let child = source.layout.nodes[place].child
        let node = source.layout.nodes[child]
        precondition(node.kind == layout.nodes[layout.nodes[target].child].kind, "columns of equal shape")
        let isNullable = layout.types[target].isNullableDictionary
        let dictionary = nodes[target].dictionary.unsafelyUnwrapped
        var values = ValueCursor(source.nodes[child].data, width: node.width)
        var places: [UInt32] = []
        places.reserveCapacity(source.nodes[child].rows)
        while places.count < source.nodes[child].rows, let value = values.next() {
            if isNullable, places.isEmpty {
                places.append(0)
                continue
            }
            let found = withUnsafeBytes(of: UInt8(0)) { none in
                dictionary.pointee.place(
                    of: value.baseAddress ?? none.baseAddress.unsafelyUnwrapped, count: value.count,
                    in: &nodes[dictionary.pointee.child])
            }
            places.append(found)
        }
        let count = source.nodes[place].rows
        nodes[target].data.reserve(count * 4)
        for row in 0..<count {
            nodes[target].data.append(places[Int(source.nodes[place].data.load(UInt32.self, at: row * 4))])
        }
        nodes[target].rows += count
    }

    // MARK: - Nullable

    /// Rows of a Nullable column that are NULL; none of other columns.
    ///
    /// - Parameter place: of the column.
    public func nullRows(ofColumn place: Int) -> [Int] {
        let root = layout.roots[place]
        switch layout.nodes[root].kind {
        case .nullable: return nodes[root].data.bytes.indices.filter { nodes[root].data.bytes[$0] != 0 }
        case .lowCardinality where layout.types[root].isNullableDictionary:
            return (0..<nodes[root].rows).filter { nodes[root].data.load(UInt32.self, at: $0 * 4) == 0 }
        default: return []
        }
    }

    /// A Nullable column as one that is not, alone in a block: what was NULL is the type's default. nil: it is not Nullable, or its
    /// values are made of parts.
    public func withoutNulls(column place: Int) -> Block? {
        guard case .nullable(let inner) = layout.columns[place].type.underlying else { return nil }
        let nulls = nodes[layout.roots[place]].data.bytes
        let child = layout.nodes[layout.roots[place]].child
        guard [.fixed, .string].contains(layout.nodes[child].kind) else { return nil }
        let bare = Block(layout: BlockLayout([ColumnDefinition(name: layout.columns[place].name, type: inner)]))
        let node = bare.layout.nodes[0]
        var values = ValueCursor(nodes[child].data, width: node.width)
        for row in 0..<rows {
            guard let value = values.next() else { break }
            if nulls[row] != 0 {
                bare.appendDefault(0)
            } else if node.kind == .string {
                withUnsafeBytes(of: UInt8(0)) { none in
                    bare.nodes[0].appendString(
                        value.baseAddress ?? none.baseAddress.unsafelyUnwrapped, count: value.count, node: node)
                }
            } else {
                bare.nodes[0].data.append(value)
                bare.nodes[0].rows += 1
            }
        }
        bare.rows = rows
        return bare
    }

    /// A column as a Nullable one without a NULL, alone in a block.
    public func nullable(column place: Int) -> Block {
        let column = layout.columns[place]
        let root = layout.roots[place]
        let made = Block(bare: BlockLayout([ColumnDefinition(name: column.name, type: .nullable(column.type))]))
        made.nodes[0].data.append(repeating: 0, count: rows)
        made.nodes[0].rows = rows
        for node in root..<layout.ends[root] {
            made.nodes[1 + node - root].data.append(nodes[node].data.bytes)
            made.nodes[1 + node - root].rows = nodes[node].rows
        }
        made.rows = rows
        return made
    }
}
