// Unsafe by design: reads the runs of a block that nobody writes to any more. Every range is checked against the rows of
// the node it is taken from before its bytes are touched, and `ByteRun.append` makes the room it needs.

extension Block {
    /// Some of the rows as a new block, in the order given.
    ///
    /// Dictionaries of low-cardinality columns keep only the values that these rows have, so that a row cut out of a large
    /// block is small.
    ///
    /// - Parameter selection: runs of rows; each must lie within the block. The block must be complete.
    public func gathering(_ selection: [Range<Int>]) -> Block {
        precondition(selection.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= rows }, "rows of the block only")
        let gathered = Block(layout: layout)
        for root in layout.roots { gather(root, selection, into: gathered) }
        gathered.rows = selection.reduce(0) { $0 + $1.count }
        return gathered
    }

    /// Copies values of one node and what hangs on it. Exhaustive on purpose: a kind of node that is not copied would be
    /// a column that falls behind.
    private func gather(_ place: Int, _ selection: [Range<Int>], into target: Block) {
        let node = layout.nodes[place]
        let count = selection.reduce(0) { $0 + $1.count }
        switch node.kind {
        case .fixed: gatherFixed(place, width: node.width, selection, into: target)
        case .string: gatherStrings(place, selection, into: target)
        case .nullable:
            gatherFixed(place, width: 1, selection, into: target)
            gather(node.child, selection, into: target)
        case .array:
            gather(node.child, gatherEnds(place, selection, into: target), into: target)
        case .lowCardinality:
            gatherLowCardinality(place, selection, into: target)
            return
        case .tuple:
            for child in layout.children(of: place) { gather(child, selection, into: target) }
        case .variant:
            gatherFixed(place, width: 1, selection, into: target)
            for (number, child) in layout.children(of: place).enumerated() {
                gather(child, values(of: UInt8(number), of: place, in: selection), into: target)
            }
        }
        target.nodes[place].rows += count
    }

    /// The values that some rows of a variant have in one of its children.
    private func values(of number: UInt8, of place: Int, in selection: [Range<Int>]) -> [Range<Int>] {
        let numbers = nodes[place].data.bytes
        var before = [0]
        before.reserveCapacity(nodes[place].rows + 1)
        for row in 0..<nodes[place].rows { before.append(before[row] + (numbers[row] == number ? 1 : 0)) }
        return selection.map { before[$0.lowerBound]..<before[$0.upperBound] }
    }

    private func gatherFixed(_ place: Int, width: Int, _ selection: [Range<Int>], into target: Block) {
        let source = nodes[place].data.bytes
        for range in selection {
            target.nodes[place].data.append(
                UnsafeRawBufferPointer(rebasing: source[range.lowerBound * width..<range.upperBound * width]))
        }
    }

    private func gatherStrings(_ place: Int, _ selection: [Range<Int>], into target: Block) {
        let starts = stringStarts(place)
        let source = nodes[place].data.bytes
        for range in selection {
            target.nodes[place].data.append(
                UnsafeRawBufferPointer(rebasing: source[starts[range.lowerBound]..<starts[range.upperBound]]))
        }
    }

    /// Where each value of a string node begins, its length included, and where the last one ends.
    private func stringStarts(_ place: Int) -> [Int] {
        var cursor = ValueCursor(nodes[place].data, width: 0)
        var starts = [0]
        starts.reserveCapacity(nodes[place].rows + 1)
        while starts.count <= nodes[place].rows, let value = cursor.next() {
            starts.append(starts[starts.count - 1] + Self.lengthBytes(of: value.count) + value.count)
        }
        precondition(
            starts.count == nodes[place].rows + 1 && starts[starts.count - 1] <= nodes[place].data.count,
            "a string column has a value for each row")
        return starts
    }

    /// Bytes of a length as a varint.
    private static func lengthBytes(of length: Int) -> Int { max(1, (64 - length.leadingZeroBitCount + 6) / 7) }

    /// Writes the arrays' ends as they are in the new block; returns the elements that go with them.
    private func gatherEnds(_ place: Int, _ selection: [Range<Int>], into target: Block) -> [Range<Int>] {
        let data = nodes[place].data
        let child = layout.nodes[place].child
        func end(_ row: Int) -> Int { row == 0 ? 0 : Int(data.load(UInt64.self, at: (row - 1) * 8)) }
        var elements: [Range<Int>] = []
        var total = target.nodes[child].rows
        for range in selection where !range.isEmpty {
            for row in range {
                total += end(row + 1) - end(row)
                target.nodes[place].data.append(UInt64(total))
            }
            let taken = end(range.lowerBound)..<end(range.upperBound)
            precondition(taken.upperBound <= nodes[child].rows)
            if !taken.isEmpty { elements.append(taken) }
        }
        return elements
    }

    private func gatherLowCardinality(_ place: Int, _ selection: [Range<Int>], into target: Block) {
        let child = layout.nodes[place].child
        let isString = layout.nodes[child].kind == .string
        let width = layout.nodes[child].width
        let starts = isString ? stringStarts(child) : []
        let values = nodes[child].data.bytes
        let isNullable = layout.types[place].isNullableDictionary
        // Places in the new dictionary, by place in the old one.
        var places = [UInt32?](repeating: nil, count: nodes[child].rows)
        if isNullable, !places.isEmpty { places[0] = 0 }
        for range in selection {
            for row in range {
                let old = Int(nodes[place].data.load(UInt32.self, at: row * 4))
                if let known = places[old] {
                    target.nodes[place].appendFixed(known)
                    continue
                }
                let value =
                    isString
                    ? Self.bytes(ofString: values[starts[old]..<starts[old + 1]])
                    : values[old * width..<(old + 1) * width]
                appendLowCardinality(UnsafeRawBufferPointer(rebasing: value), to: place, of: target)
                let count = target.nodes[place].data.count
                places[old] = target.nodes[place].data.load(UInt32.self, at: count - 4)
            }
        }
    }

    /// What lies behind the length.
    private static func bytes(ofString value: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer> {
        let header = value.prefix { $0 >= 0x80 }.count + 1
        return value.dropFirst(header)
    }

    private func appendLowCardinality(_ value: UnsafeRawBufferPointer, to place: Int, of target: Block) {
        // A slice of no bytes may have no address.
        withUnsafeBytes(of: UInt8(0)) { empty in
            target.appendLowCardinality(
                place, value.baseAddress ?? empty.baseAddress.unsafelyUnwrapped, count: value.count)
        }
    }
}
