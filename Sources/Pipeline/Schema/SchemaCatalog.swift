import ClickHouseNative

/// Tables as files with CREATE TABLE statements describe them: for sinks without a server.
public struct SchemaCatalog: TableCatalog, Hashable {
    /// Tables that can be written to, in the order of the files.
    public private(set) var tables: [TableName] = []
    /// Tables with a type that sluice does not know: one entry for each, with its place and the type's name.
    public private(set) var unsupported: [ConfigurationIssue] = []
    private var structures: [TableName: TableStructure] = [:]
    private var refusals: [TableName: CatalogError] = [:]

    /// Without any table.
    public init() {}

    /// Reads files; a file with an error adds nothing.
    ///
    /// - Parameters:
    ///   - timeZone: zone of DateTime columns without one of their own.
    ///   - errors: takes what is wrong, with file, line and column.
    public init(
        files paths: [String], from files: any ConfigurationFiles = LocalFiles(), timeZone: String = "UTC",
        errors: inout [ConfigurationIssue]
    ) {
        var places: [TableName: ConfigurationPlace] = [:]
        for path in paths {
            do {
                let bytes = try files.read(path, bytesMax: ConfigurationLimits.fileBytesMax)
                add(path, bytes, timeZone, &places, &errors)
            } catch {
                errors.append(ConfigurationIssue(.unreadableFile, at: .file(path), "cannot be read: \(error)"))
            }
        }
    }

    public func structure(of table: TableName) throws(CatalogError) -> TableStructure {
        let known = try resolve(table)
        if let structure = structures[known] { return structure }
        if let refusal = refusals[known] { throw refusal }
        throw CatalogError(.unknownTable, table: table, message: "no schema file creates it")
    }

    /// A name without a database means the table of that name, as long as there is only one.
    private func resolve(_ table: TableName) throws(CatalogError) -> TableName {
        guard table.database == nil, structures[table] == nil, refusals[table] == nil else { return table }
        let candidates = (Array(structures.keys) + refusals.keys).filter { $0.table == table.table }
        guard candidates.count > 1 else { return candidates.first ?? table }
        let names = candidates.map(\.description).sorted().joined(separator: ", ")
        throw CatalogError(.unknownTable, table: table, message: "several databases have it: \(names)")
    }

    // MARK: Reading

    private mutating func add(
        _ path: String, _ bytes: [UInt8], _ timeZone: String, _ places: inout [TableName: ConfigurationPlace],
        _ errors: inout [ConfigurationIssue]
    ) {
        let source = SourceText(path: path, bytes: bytes)
        do {
            var reader = try CreateTableReader(bytes)
            for table in try reader.tables() {
                let place = source.place(table.offset)
                if let first = places[table.name] {
                    errors.append(
                        ConfigurationIssue(
                            .duplicateKey, at: place, "table \(table.name) is created twice, first at \(first)"))
                    continue
                }
                places[table.name] = place
                add(table, source, timeZone, &errors)
            }
        } catch {
            errors.append(ConfigurationIssue(.syntax, at: source.place(error.offset), error.message))
        }
    }

    private mutating func add(
        _ table: TableDeclaration, _ source: SourceText, _ timeZone: String, _ errors: inout [ConfigurationIssue]
    ) {
        switch table.columns {
        case .copied(let original):
            // Databases are written out or left out on both sides alike; the copy's decides where the original has none.
            if let structure = try? structure(of: original) {
                structures[table.name] = structure
                tables.append(table.name)
            } else {
                errors.append(
                    ConfigurationIssue(
                        .conflict, at: source.place(table.offset),
                        "table \(table.name) is a copy of \(original), which no schema file creates before"))
            }
        case .listed(let declarations):
            var columns: [TableStructure.Column] = []
            var computed: [String] = []
            for declaration in declarations {
                if declaration.value == .computed {
                    computed.append(declaration.name)
                    continue
                }
                do throws(DataTypeError) {
                    let type = try DataType(parsing: declaration.type)
                    if case .nested(let elements) = type {
                        // A server flattens it (`flatten_nested`): a column for each element.
                        columns += elements.map { element in
                            .init(
                                ColumnDefinition(
                                    name: "\(declaration.name).\(element.name ?? "")", type: .array(element.type)))
                        }
                        continue
                    }
                    let definition = ColumnDefinition(name: declaration.name, type: type)
                    columns.append(.init(definition, defaultValue: declaration.defaultValue(type)))
                } catch {
                    refuse(table.name, declaration, error, source, &errors)
                    return
                }
            }
            structures[table.name] = TableStructure(columns: columns, computedColumns: computed, timeZone: timeZone)
            tables.append(table.name)
        }
    }

    /// A type that ClickHouse may have concerns its table alone; anything else is an error of the file.
    private mutating func refuse(
        _ table: TableName, _ column: ColumnDeclaration, _ error: DataTypeError, _ source: SourceText,
        _ errors: inout [ConfigurationIssue]
    ) {
        let message = "column \(column.name): \(error)"
        let issue = ConfigurationIssue(.unsupportedType, at: source.place(column.offset), "table \(table): \(message)")
        refusals[table] = CatalogError(.unsupportedType, table: table, message: message)
        if error.code == .unsupported { unsupported.append(issue) } else { errors.append(issue) }
    }
}

extension ColumnDeclaration {
    fileprivate func defaultValue(_ type: DataType) -> TableStructure.Default {
        switch value {
        case .none, .computed: .type
        case .expression(let text): DefaultExpression.value(of: text, for: type)
        // Left out unless a row has it: the server does not store it.
        case .ephemeral(let text): .expression(text ?? "defaultValueOfTypeName('\(self.type)')")
        }
    }
}

/// Turns byte offsets into lines and columns.
private struct SourceText {
    let path: String
    let bytes: [UInt8]
    /// Offsets, ascending.
    private let newlines: [Int]

    init(path: String, bytes: [UInt8]) {
        self.path = path
        self.bytes = bytes
        newlines = bytes.indices.filter { bytes[$0] == 0x0A }
    }

    func place(_ offset: Int) -> ConfigurationPlace {
        // The first newline that is not before the offset, by halves: a file may have thousands of tables.
        var (before, after) = (0, newlines.count)
        while before < after {
            let middle = (before + after) / 2
            if newlines[middle] < offset { before = middle + 1 } else { after = middle }
        }
        let start = before > 0 ? newlines[before - 1] + 1 : 0
        // Columns count characters, so bytes that continue one don't.
        let column = bytes[start..<max(start, min(offset, bytes.count))].count { $0 & 0xC0 != 0x80 } + 1
        return .position(file: path, line: before + 1, column: column)
    }
}
