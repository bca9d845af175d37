import MartletBase
import MartletNode
import MartletRESP
import MartletRing
import MartletVersions

/// From keys to requests of the core, and from its replies to replies of the protocol.
extension RedisSession {
    // MARK: Starting

    /// A request for a key, as this session stands.
    func request(
        _ key: Blob, _ operation: ClientRequest.Operation, level: ConsistencyLevel?,
        timeout: Interval? = nil
    ) -> ClientRequest {
        ClientRequest(
            keyspace: keyspace, key: key, operation: operation, level: level, timeout: timeout)
    }

    /// Starts the operation of a command that has one key. The command is the last one in the queue.
    func start(_ request: ClientRequest) { start(.single, request) }

    func start(
        _ program: Operation.Program, _ request: ClientRequest, writeLevel: ConsistencyLevel? = nil
    ) {
        add(
            Operation(
                program: program, sequence: pipeline.commands.next - 1, element: 0, key: request.key,
                writeLevel: writeLevel),
            request)
    }

    /// Starts a command with many keys: as many of its operations as there is room for, the rest as others
    /// end.
    func startAll(_ shape: PendingCommand.Shape, _ parts: CommandParts, _ template: OperationTemplate) {
        parts.template = template
        admitting = enqueue(shape, outstanding: parts.keys.count, parts: parts)
        admitMore()
    }

    /// Makes operations of the keys of the command that waits for room.
    private func admitMore() {
        // The core may answer at once, and its answer come here again.
        if isAdmitting { return }
        isAdmitting = true
        while let sequence = admitting, !pipeline.operations.isFull {
            guard let parts = pipeline.commands[sequence].parts, let template = parts.template else {
                invariantBroken("a command of many keys without its keys")
            }
            let element = parts.admitted
            parts.admitted += 1
            // Before the operation is added: it may be the command's last, and done when `add` returns.
            if parts.admitted == parts.keys.count { admitting = nil }
            let (operation, request) = template.operation(element, of: parts, sequence: sequence)
            add(operation, request)
        }
        isAdmitting = false
    }

    private func add(_ operation: consuming Operation, _ request: consuming ClientRequest) {
        let hash = XXH3.hash(operation.key.span, seed: UInt64(request.keyspace))
        let asked = asked(request)
        let (index, ready) = pipeline.begin(operation, request, hash: hash, asked)
        if let ready { submit(index, ready) }
    }

    /// Hands the operation's request to the core.
    private func submit(_ index: Int) {
        guard let request = pipeline.operations[index].request else {
            invariantBroken("an operation was submitted without a request")
        }
        submit(index, pipeline.takeRequest(index, asked(request)))
    }

    private func submit(_ index: Int, _ request: consuming ClientRequest) {
        backend.submit(ClientTicket(ticketBase | UInt64(index)), request)
    }

    /// Hands a request to the core, and remembers when.
    func ask(_ index: Int, _ request: ClientRequest) {
        pipeline.operations[index].asked = asked(request)
        submit(index, request)
    }

    private func asked(_ request: ClientRequest) -> AskedRequest {
        let kind = AskedRequest.Kind(request.operation)
        let level = request.level ?? server.level(of: kind, keyspace, near: keyspaceIndex)
        return AskedRequest(kind: kind, level: level, began: backend.now.monotonic)
    }

    // MARK: Ending

    /// The core's reply to an operation's request.
    func complete(_ index: Int, _ reply: ClientReply) {
        guard state != .closed, let (asked, next) = pipeline.operations.standing(index) else { return }
        if let asked { server.requests.count(asked, reply, now: backend.now.monotonic) }
        switch next {
        case .page:
            pipeline.operations.remove(index)
            walked(reply)
        case .change:
            pipeline.operations.remove(index)
            changed(reply)
        case .end, .secondStep:
            if case .read(let record?) = reply, let text = severalVersions(index, record) {
                return finish(index, reply, refusal: text)
            }
            guard next == .secondStep, case .read(let record) = reply else { return finish(index, reply) }
            takeSecondStep(index, record, reply)
        }
    }

    private func takeSecondStep(_ index: Int, _ record: Blob?, _ reply: ClientReply) {
        switch secondStep(index, record) {
        case .done: finish(index, reply)
        case .refuse(let text): finish(index, reply, refusal: text)
        case .write(let put):
            pipeline.operations[index].isWriting = true
            pipeline.operations[index].request?.operation = .put(put)
            let level = pipeline.operations[index].writeLevel
            pipeline.operations[index].request?.level = level
            submit(index)
        }
    }

    /// What an operation of two steps does after its read.
    private func secondStep(_ index: Int, _ record: Blob?) -> SecondStep {
        let live = live(record)
        switch pipeline.operations[index].program {
        case .single, .part, .walk, .change: return .done
        case .delete:
            pipeline.operations[index].number = isLive(record) ? 1 : 0
            return .write(Put(.tombstone, context: causalContext(index, record)))
        case .expire(let change):
            guard let record, let live else { return .done }
            if let refusal = change.refusal { return .refuse(refusal) }
            guard change.applies(to: live.expiry) else { return .done }
            pipeline.operations[index].number = 1
            pipeline.operations[index].previous = record
            guard RecordKind(of: record.span) == .siblings else {
                return .write(Put(.expiry(of: record, change.expiry)))
            }
            // The same value again, in place of what was read.
            let value = Blob(copying: live.value(in: record.span))
            return .write(
                Put(.value(value, expiry: change.expiry), context: causalContext(index, record)))
        case .replace(let replacement): return replace(index, replacement, record, live)
        }
    }

    private func replace(
        _ index: Int, _ replacement: Replacement, _ record: Blob?, _ live: VersionView?
    ) -> SecondStep {
        pipeline.operations[index].previous = live == nil ? nil : record
        let length = replacement.length(on: live?.valueLength ?? 0)
        if let refusal = refusal(length: length, key: pipeline.operations[index].key) {
            return .refuse(refusal)
        }
        pipeline.operations[index].number = Int64(length)
        if case .appended(let nothing) = replacement.content, nothing.isEmpty, live != nil { return .done }
        let present = live.flatMap { live in
            record.map { $0.bytes[live.valueOffset..<(live.valueOffset + live.valueLength)] }
        }
        guard let value = replacement.value(on: present) else {
            return live == nil ? .done : .write(Put(.tombstone, context: causalContext(index, record)))
        }
        let kept = replacement.keepsExpiry ? live.map(\.expiry) : nil
        return .write(
            Put(
                .value(value, expiry: kept ?? replacement.expiry), above: replacement.above,
                context: replacement.context ?? causalContext(index, record), version: replacement.version))
    }

    /// What is said to a value that would be too long; nil when it wouldn't.
    func refusal(length: Int, key: Blob?) -> String? {
        if length > Limits.bulkBytesMax {
            return "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        }
        let max = server.settings.valueBytesMax
        return length > max ? FailureText.tooLarge("value", bytes: length, max: max, key: key) : nil
    }

    /// The value that a reader sees now, if there is just one.
    func live(_ record: Blob?) -> VersionView? {
        guard let record else { return nil }
        let live = Record.live(record.span, backend.now.wall)
        return live.count == 1 ? live.first : nil
    }

    /// Whether a reader sees any value now.
    private func isLive(_ record: Blob?) -> Bool {
        guard let record, let summary = try? RecordSummary(record.span) else { return false }
        return summary.isLive(backend.now.wall)
    }

    /// What is said to a command that wants one value and finds several; nil where it finds one, or takes
    /// several.
    private func severalVersions(_ index: Int, _ record: Blob) -> String? {
        guard RecordKind(of: record.span) == .siblings else { return nil }
        let count = Record.live(record.span, backend.now.wall).count
        if count < 2 { return nil }
        if case .delete = operations[index].program { return nil }
        let command = commands[operations[index].sequence]
        if command.shape == .versions || table.entries[Int(command.row)].code == .exists { return nil }
        return FailureText.siblings(count)
    }

    /// What a write that follows a read replaces: what was read. Noted for the reply of VSET and VDEL.
    private func causalContext(_ index: Int, _ record: Blob?) -> CausalContext {
        let context = record.map { Record.context(of: $0.span) } ?? .empty
        let sequence = operations[index].sequence
        if commands[sequence].shape == .version { commands[sequence].parts?.context = context }
        return context
    }

    private func finish(_ index: Int, _ reply: ClientReply, refusal: String? = nil) {
        let (operation, shape) = pipeline.conclude(index)
        if let refusal {
            fail(operation, .refused(refusal))
        } else {
            deliver(operation, shape, reply)
        }
        if let successor = operation.successor { submit(successor) }
        writeReplies()
        if admitting != nil { admitMore() }
        if walk != nil { walkOn() }
        if change != nil { changeOn() }
        resume()
    }

    /// Gives the command what came of one of its operations.
    private func deliver(_ operation: Operation, _ shape: PendingCommand.Shape, _ reply: ClientReply) {
        let sequence = operation.sequence
        if case .failed(let failure) = reply { return fail(operation, .request(failure)) }
        switch shape {
        case .ready, .walk, .change: invariantBroken("a command without operations of its own had one")
        case .ok: break
        case .value:
            guard case .read(let record) = reply else { return keep(sequence, operation.previous) }
            let isLive = isLive(record)
            server.requests.countRead(found: isLive)
            if isLive { keep(sequence, record) }
        case .part:
            guard case .part(let part) = operation.program, case .read(let record?) = reply,
                let live = live(record)
            else { return }
            let range = part.range(in: live.valueLength)
            keep(
                sequence,
                Blob(copying: live.value(in: record.span).extracting(range)))
        case .fact:
            guard case .read(let record) = reply else { return }
            pipeline.commands[sequence].number = fact(
                record, code: table.entries[Int(pipeline.commands[sequence].row)].code, key: operation.key)
        case .versions:
            guard case .read(let record) = reply else { return }
            keep(sequence, record)
        case .values:
            guard case .read(let record) = reply else { return }
            let isLive = isLive(record)
            server.requests.countRead(found: isLive)
            guard let record, isLive else { return }
            pipeline.commands[sequence].parts?.records[operation.element] = record
            hold(record)
        case .number:
            pipeline.commands[sequence].number += number(
                operation, reply, row: Int(pipeline.commands[sequence].row))
        case .version:
            guard case .written(let stamp) = reply else { return }
            pipeline.commands[sequence].parts?.stamp = stamp
        }
    }

    private func fail(_ operation: Operation, _ failure: OperationFailure) {
        let parts = pipeline.commands[operation.sequence].parts ?? CommandParts(keys: [operation.key])
        parts.fail(operation.element, failure)
        pipeline.commands[operation.sequence].parts = parts
    }

    private func keep(_ sequence: UInt64, _ record: Blob?) {
        if let record { pipeline.keep(sequence, record) }
    }

    private func hold(_ record: Blob) { pipeline.heldBytes += record.count }

    /// What the operation adds to a reply that is a number.
    private func number(_ operation: Operation, _ reply: ClientReply, row: Int) -> Int64 {
        guard case .single = operation.program, case .read(let record) = reply else {
            return operation.number
        }
        let live = live(record)
        let code = table.entries[row].code
        if code == .exists { return isLive(record) ? 1 : 0 }
        if code == .strlen || code == .setRange { return Int64(live?.valueLength ?? 0) }
        guard let live else { return -2 }
        guard let expiry = live.expiry else { return -1 }
        let left = max(0, expiry - backend.now.wall.milliseconds)
        switch code {
        case .ttl: return (left + 500) / 1_000
        case .pttl: return left
        case .expireTime: return (expiry + 500) / 1_000
        case .pexpireTime: return expiry
        default: invariantBroken("\(table.rows[row].name) counts nothing")
        }
    }
}

/// How the keys of a command become operations.
struct OperationTemplate {
    enum Kind {
        case read
        /// With the value at the same place.
        case write(expiry: Int64?)
        case delete
    }

    let kind: Kind
    let keyspace: UInt32
    let readLevel: ConsistencyLevel?
    let writeLevel: ConsistencyLevel?

    func operation(
        _ element: Int, of parts: CommandParts, sequence: UInt64
    ) -> (Operation, ClientRequest) {
        let operation: ClientRequest.Operation
        var program = Operation.Program.single
        var level = readLevel
        switch kind {
        case .read: operation = .get
        case .write(let expiry):
            operation = .put(Put(.value(parts.values[element], expiry: expiry)))
            level = writeLevel
        case .delete:
            operation = .get
            program = .delete
        }
        let request = ClientRequest(
            keyspace: keyspace, key: parts.keys[element], operation: operation, level: level)
        let part = Operation(
            program: program, sequence: sequence, element: element, key: request.key, writeLevel: writeLevel)
        return (part, request)
    }
}
