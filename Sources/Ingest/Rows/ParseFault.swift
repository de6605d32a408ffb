/// Why a row was refused: plain bytes, so that throwing it costs next to nothing. The words are made later, for the
/// rows that are kept as dead letters.
struct ParseFault: Error {
    enum Code: UInt8 {
        case malformed
        case unterminatedString
        case badEscape
        case trailingText
        case tooDeep
        case duplicateKey
        case unknownField
        case computedColumn
        case nullValue
        case notANumber
        case outOfRange
        case tooLong
        case notABool
        case notAUUID
        case notADate
        case notATime
        case notAnEnumMember
        case notAString
        case notAnArray
        /// Not a refusal: the row has other columns than the block that is being filled (see `TableWriter`).
        case otherVariant
        /// Not a refusal: the row has a field that the table may have got since it was looked at.
        case unknownColumn
        /// Not a refusal: the row names another table.
        case otherTable
        case badTableName
        case noTable
        case tooManyVariants
        case notAnAddress
        case notATuple
        case notAMap
        case notAnObject
        /// No value of the type can be written.
        case noValue
        /// None of a Variant's types reads the value.
        case noAlternative
        /// One of a Variant's types would read it, and ClickHouse would store something else than was written.
        case storedOtherwise
        /// A value of a Dynamic column whose type is not certain.
        case uncertainType
        case unknownElement
        case missingElement
        /// Columns of one Nested have arrays of different lengths.
        case unequalLengths
        // Rules (`RuleSet`):
        case ruleRequired
        case ruleRange
        case ruleLength
        case ruleOneOf
        case ruleRegex
        case ruleUnknownFields
        case ruleRoute
        // Other formats than NDJSON:
        case malformedCell
        case tooFewCells
        case tooManyCells
        /// A header says another type than the column's.
        case otherType
        /// Values of the type are not read in this format.
        case unreadType
        /// A value cannot be converted to the column's type without loss.
        case notConvertible
        case malformedRow
        case unreadableRest
        case otherCount
        case routedFormat
        /// A column that the table's rules, which are read as JSON, would change.
        case uncheckedType
        /// A line break within a string of JSON.
        case lineBreakInJSON
        /// A cell of TSV for a Variant or Dynamic column that has escapes within escapes, tabs or line breaks.
        case escapedTwice
    }

    let code: Code
    /// Place of the column in the table's structure; -1: none in particular.
    var column: Int32 = -1

    init(_ code: Code, column: Int32 = -1) {
        self.code = code
        self.column = column
    }

    /// For people; says what was expected and nothing of what was there.
    var message: String {
        switch code {
        case .malformed: "this is no JSON object"
        case .unterminatedString: "a string does not end on its line"
        case .badEscape: "a string has an escape sequence that JSON does not have, or half a surrogate pair"
        case .trailingText: "there is text behind the object"
        case .tooDeep: "values are nested deeper than depth_max"
        case .duplicateKey: "the field stands twice in the row"
        case .unknownField:
            "the table has no such column, and unknown_fields is reject or input_format_skip_unknown_fields is off"
        case .computedColumn: "the column is computed by the server and cannot be written"
        case .nullValue: "null for a column that is not Nullable, and input_format_null_as_default is off"
        case .notANumber: "a number of the column's type is expected"
        case .outOfRange: "the value is outside the range of the column's type"
        case .tooLong: "the value is longer than the column's type"
        case .notABool: "true, false, 1 or 0 is expected"
        case .notAUUID: "a UUID such as \"61f0c404-5cb3-11e7-907b-a6006ad3dba0\" is expected"
        case .notADate: "a date such as \"2024-02-29\" is expected"
        case .notATime: "a time such as \"2024-02-29 12:34:56\" is expected"
        case .notAnEnumMember: "the value is no member of the enumeration"
        case .notAString: "a string is expected"
        case .notAnArray: "an array is expected"
        case .otherVariant, .otherTable, .unknownColumn: "the row belongs elsewhere"
        case .noTable: "the row names no table, and there is no default_table"
        case .tooManyVariants: "more sets of omitted DEFAULT columns than variants_max"
        case .notAnAddress: "an IP address such as \"192.0.2.1\" or \"2001:db8::1\" is expected"
        case .notATuple: "a tuple is expected: an object where its elements have names, else an array with each of them"
        case .notAMap: "an object is expected, whose keys and values become the map's"
        case .notAnObject: "a JSON object without duplicate paths is expected"
        case .noValue: "the column's type has no values"
        case .noAlternative: "the value is of none of the Variant's types"
        case .storedOtherwise: "one of the Variant's types would store another value than this one"
        case .uncertainType: "ClickHouse's type for this value in a Dynamic column is not known here"
        case .unknownElement:
            "the tuple has no such element, and input_format_json_ignore_unknown_keys_in_named_tuple is off"
        case .missingElement:
            "an element of the tuple is missing, and input_format_json_defaults_for_missing_elements_in_named_tuple is off"
        case .unequalLengths: "the arrays of one Nested column must be of one length"
        case .ruleRequired: "required: the field must be there, and not null"
        case .ruleRange: "range: the value is not between min and max"
        case .ruleLength: "length: the text is too short or too long"
        case .ruleOneOf: "one_of: the value is none of those that are taken"
        case .ruleRegex: "regex: the text does not match"
        case .ruleUnknownFields: "unknown_fields: they are larger than bytes_max"
        case .ruleRoute: "route: the field leads to no table"
        case .malformedCell: "the value is not written as the format has it"
        case .tooFewCells: "the row has fewer values than there are columns"
        case .tooManyCells: "the row has more values than there are columns"
        case .otherType: "the header names another type than the column's"
        case .unreadType: "values of the column's type are not read in this format"
        case .notConvertible: "the value cannot become one of the column's type without loss"
        case .malformedRow: "the row cannot be read"
        case .unreadableRest: "the row lies behind one that cannot be read, in the same frame"
        case .otherCount: "the frame does not have the rows that it says"
        case .routedFormat: "the table has a route, which only rows of JSON can take"
        case .uncheckedType:
            "the table's rules, Nested columns and defaults go by text, in which values like those of this column lose something"
        case .lineBreakInJSON: "a string of JSON has a line break in it, which must be written as \\n"
        case .escapedTwice:
            "backslashes, tabs and line breaks are not read in a Variant or Dynamic column of TSV: ClickHouse undoes their escapes twice"
        case .badTableName: "the table's name is not a string that can name a table"
        }
    }

    var reason: RejectReason {
        switch code {
        case .malformed, .unterminatedString, .badEscape, .trailingText, .otherVariant, .otherTable,
            .unknownColumn:
            .malformedJSON
        case .tooDeep: .tooDeep
        case .duplicateKey: .duplicateKey
        case .unknownField, .computedColumn: .unknownField
        case .nullValue: .nullNotAllowed
        case .notANumber, .notABool, .notAUUID, .notADate, .notATime, .notAString, .notAnArray, .notAnAddress,
            .notATuple, .notAMap, .notAnObject, .lineBreakInJSON, .noValue, .noAlternative,
            .storedOtherwise, .uncertainType, .unequalLengths, .unknownElement, .missingElement:
            .typeMismatch
        case .outOfRange, .tooLong: .outOfRange
        case .notAnEnumMember: .unknownEnumValue
        case .badTableName: .invalidTable
        case .ruleRequired: .ruleRequired
        case .ruleRange: .ruleRange
        case .ruleLength: .ruleLength
        case .ruleOneOf: .ruleOneOf
        case .ruleRegex: .ruleRegex
        case .ruleUnknownFields: .ruleUnknownFields
        case .ruleRoute: .ruleRoute
        case .malformedCell, .tooFewCells, .tooManyCells, .malformedRow: .malformedRow
        case .escapedTwice: .typeMismatch
        case .otherType, .notConvertible: .typeMismatch
        case .unreadType, .routedFormat, .uncheckedType: .unsupportedFormat
        case .unreadableRest: .unreadableRest
        case .otherCount: .rowCountMismatch
        case .noTable: .noTable
        case .tooManyVariants: .tooManyVariants
        }
    }
}
