import MartletBase
import MartletNode
import MartletRESP

/// What a session has under way: its commands in order, their operations, and the replies that the connection
/// hasn't taken.
///
/// In one value with a method for each step of a request, because a look at a field of a class costs a check
/// for exclusive access: so a step costs one. Not copyable, since a look at it would copy it else.
struct Pipeline: ~Copyable {
    var commands = CommandQueue()
    var operations = OperationTable()
    /// Replies that the connection hasn't taken.
    var writer = ReplyWriter()
    /// Values that wait in the queue for their reply to be written.
    var heldBytes = 0

    /// Whether another command may come, when so much that was written before waits for the client.
    func hasRoom(pendingOutput: Int) -> Bool {
        !operations.isFull && commands.count < Limits.clientCommandsMax
            && writer.bytes.count + pendingOutput < Limits.clientOutputPauseBytes
    }

    /// Puts a command into the queue, which is answered in the protocol that is spoken now.
    ///
    /// - Returns: its sequence number.
    mutating func enqueue(
        _ shape: PendingCommand.Shape, row: Int, isMuted: Bool, began: Instant, outstanding: Int,
        bytes: Blob?,
        parts: CommandParts?
    ) -> UInt64 {
        let sequence = commands.next
        commands.append(
            PendingCommand(
                shape: shape, protocolVersion: writer.version, isMuted: isMuted, row: Int32(row),
                began: began, outstanding: Int32(outstanding), bytes: bytes, parts: parts))
        return sequence
    }

    /// Adds an operation.
    ///
    /// - Returns: its index, and its request if the core may have that at once.
    mutating func begin(
        _ operation: consuming Operation, _ request: consuming ClientRequest, hash: UInt64,
        _ asked: AskedRequest
    ) -> (index: Int, request: ClientRequest?) {
        let isNeededAgain = operation.program.hasSecondStep
        operation.asked = asked
        let (index, isFirst) = operations.insert(operation, hash: hash)
        if isNeededAgain || !isFirst { operations[index].request = request }
        return (index, isFirst ? request : nil)
    }

    /// Takes out the request of an operation that the core may have now.
    mutating func takeRequest(_ index: Int, _ asked: AskedRequest) -> ClientRequest {
        operations[index].asked = asked
        return operations.takeRequest(index)
    }

    /// Takes out an operation that is done, and counts it as done for its command.
    mutating func conclude(_ index: Int) -> (Operation, PendingCommand.Shape) {
        let operation = operations.remove(index)
        commands[operation.sequence].outstanding -= 1
        return (operation, commands[operation.sequence].shape)
    }

    /// Keeps what a command replies with.
    mutating func keep(_ sequence: UInt64, _ record: Blob) {
        commands[sequence].bytes = record
        heldBytes += record.count
    }

    /// Takes the oldest command out if none of its operations is outstanding.
    mutating func popDone() -> PendingCommand? {
        guard let command = commands.popDone() else { return nil }
        heldBytes -= command.bytes?.count ?? 0
        return command
    }

    /// Writes the reply of a command that has nothing but its bytes or its number to show.
    ///
    /// - Returns: false when there is more to it.
    mutating func writePlain(_ command: PendingCommand, _ wall: WallTime) -> Bool {
        // The protocol that was spoken when the command came: a HELLO behind it doesn't concern it.
        let version = writer.version
        writer.version = command.protocolVersion
        defer { writer.version = version }
        switch command.shape {
        case .ready, .walk, .change:
            if let bytes = command.bytes { writer.bytes.append(contentsOf: bytes.bytes) }
        case .ok: writer.ok()
        case .number: writer.integer(command.number)
        case .value: writer.value(of: command.bytes, wall)
        case .part: writer.bulk(command.bytes ?? .empty)
        case .fact, .values, .version, .versions: return false
        }
        return true
    }

    /// Takes the bytes of the replies; `giveBack` brings the emptied memory.
    mutating func takeReplies() -> [UInt8] {
        var bytes: [UInt8] = []
        swap(&bytes, &writer.bytes)
        return bytes
    }

    mutating func giveBack(_ bytes: consuming [UInt8]) {
        if bytes.capacity > Limits.outputRetainedBytesMax || !writer.bytes.isEmpty { return }
        bytes.removeAll(keepingCapacity: true)
        writer.bytes = bytes
    }
}
