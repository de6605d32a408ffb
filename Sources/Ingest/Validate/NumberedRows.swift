import Pipeline

// Numbers of rows that were read and not passed on.
extension [Intake.Numbered] {
    /// A chunk was read: its numbers follow on the last ones, or begin another run.
    mutating func note(_ numbering: Chunk.Numbering, _ rejections: [Rejection]) {
        let refusals = rejections.compactMap(\.refusal)
        let range = numbering.producer.covered(by: numbering.range)
        if let place = lastIndex(where: { $0.producer === numbering.producer }),
            self[place].range.last + 1 == range.first
        {
            self[place] = Intake.Numbered(
                producer: numbering.producer,
                range: RowRange(first: self[place].range.first, last: range.last),
                refusals: self[place].refusals + refusals)
        } else {
            append(Intake.Numbered(producer: numbering.producer, range: range, refusals: refusals))
        }
    }

    /// Rows of chunks that were noted before turn out to be refused.
    mutating func refuse(_ rejections: [Rejection]) {
        guard !rejections.isEmpty else { return }
        let places = Dictionary(grouping: indices) { self[$0].producer.identity }
        var touched: Set<Int> = []
        for rejection in rejections {
            guard let refusal = rejection.refusal, let producer = rejection.producer,
                let place = places[producer]?.first(where: {
                    (self[$0].range.first...self[$0].range.last).contains(refusal.number)
                })
            else { continue }
            self[place].refusals.append(refusal)
            touched.insert(place)
        }
        for place in touched { self[place].refusals.sort { $0.number < $1.number } }
    }
}

extension Rejection {
    /// What its producer is told, if the row has a number.
    var refusal: RowRefusal? {
        number.map { RowRefusal(number: $0, reason: reason.rawValue, column: column, message: message) }
    }
}
