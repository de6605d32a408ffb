import Pipeline

/// What of a stage file's settings the parser needs: resolved once for a table, not looked up for a row.
struct RowOptions: Hashable {
    var times = TimeReading.bestEffort
    var nullAsDefault = true
    var skipUnknownFields = true
    var defaultsForOmittedFields = true
    var importsNested = false
    var restrictions: Restrictions = []
    var namedTuplesAsObjects = true
    var ignoresUnknownElements = true
    var defaultsForMissingElements = true
    var infersDates = true
    var infersTimes = true
    var depthMax = 64
    /// Seconds since 1970 when the chunk is read, for times that leave out the year.
    var now: Int64 = 0
    /// Lines were made of rows of text: a value of a Variant or Dynamic column says of which types it may be (`RowParser.chosen`). Never set
    /// for what a producer wrote as JSON.
    var takesChosen = false

    init() {}

    init(_ input: ValidateSettings.Input, depthMax: Int) {
        times =
            switch input.dateTimeInputFormat {
            case .basic: .basic
            case .bestEffort: .bestEffort
            case .bestEffortUS: .bestEffortUS
            }
        nullAsDefault = input.nullAsDefault
        skipUnknownFields = input.skipUnknownFields
        defaultsForOmittedFields = input.defaultsForOmittedFields
        importsNested = input.importNestedJSON
        restrictions = Restrictions(input)
        namedTuplesAsObjects = input.namedTuplesAsObjects
        ignoresUnknownElements = input.ignoreUnknownKeysInNamedTuple
        defaultsForMissingElements = input.defaultsForMissingElementsInNamedTuple
        infersDates = input.tryInferDates
        infersTimes = input.tryInferDatetimes
        self.depthMax = depthMax
    }

    /// What a table's rules say goes before its settings.
    func under(_ rules: TableRules?) -> RowOptions {
        guard let action = rules?.unknownFields.action else { return self }
        var options = self
        options.skipUnknownFields = action != .reject
        return options
    }

    /// Of values that are read for a check only, which the server then reads by its own settings.
    var ofServer: RowOptions {
        var options = RowOptions()
        options.times = times
        options.depthMax = depthMax
        options.now = now
        return options
    }
}

/// Values that columns do not take, though they do by default (`input_format_json_read_…_as_…`).
struct Restrictions: OptionSet, Hashable {
    let rawValue: UInt8

    /// Numbers of more than eight bits.
    static let noBools = Restrictions(rawValue: 1)
    // Strings:
    static let noBoolsInText = Restrictions(rawValue: 2)
    static let noNumbersInText = Restrictions(rawValue: 4)
    static let noObjectsInText = Restrictions(rawValue: 8)
    static let noArraysInText = Restrictions(rawValue: 16)
    static let ofText: Restrictions = [.noBoolsInText, .noNumbersInText, .noObjectsInText, .noArraysInText]

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ input: ValidateSettings.Input) {
        self = []
        if !input.readBoolsAsNumbers { insert(.noBools) }
        if !input.readBoolsAsStrings { insert(.noBoolsInText) }
        if !input.readNumbersAsStrings { insert(.noNumbersInText) }
        if !input.readObjectsAsStrings { insert(.noObjectsInText) }
        if !input.readArraysAsStrings { insert(.noArraysInText) }
    }
}
