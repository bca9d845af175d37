import MartletBase
import MartletNode
import MartletWire

/// What `PeerTransport` is in the real shell: diallers, hellos, frames, and their ends.
extension Simulation {
    /// How long a hello is waited for.
    static let helloTimeout = Interval.seconds(5)
    /// How long TCP goes on sending what nobody acknowledges, before the connection ends.
    static let stuckFor: ClosedRange<Interval> = .seconds(5)...(.seconds(20))
    /// The first retransmission of a packet that opens a connection.
    static let dialRetransmission = Interval.seconds(1)

    // MARK: What nodes want

    mutating func introduce(_ process: SimulatedProcess, _ peer: PeerIndex, _ id: NodeID, _ address: Address)
    {
        let place = Int(peer.number)
        while process.diallerOfPeer.count <= place { process.diallerOfPeer.append(nil) }
        if let known = process.diallerOfPeer[place], known.address != address {
            known.peer = nil
            if let connection = known.connection { close(connection, .dialler) }
        }
        let dialler = dialler(process, address)
        dialler.peer = peer
        dialler.expected = id
        process.diallerOfPeer[place] = dialler
        guard let connection = dialler.connection else {
            dial(process, dialler)
            return
        }
        guard dialler.isUp else { return }
        if connections[connection].dialler.remote == id {
            process.events.append(.linkUp(peer))
        } else {
            close(connection, .dialler)
        }
    }

    mutating func dismiss(_ process: SimulatedProcess, _ peer: PeerIndex) {
        guard Int(peer.number) < process.diallerOfPeer.count,
            let known = process.diallerOfPeer[Int(peer.number)]
        else { return }
        process.diallerOfPeer[Int(peer.number)] = nil
        known.peer = nil
        if let connection = known.connection {
            close(connection, .dialler)
        } else {
            process.forget(known)
        }
    }

    mutating func send(_ process: SimulatedProcess, _ peer: PeerIndex, _ message: Message) {
        guard Int(peer.number) < process.diallerOfPeer.count,
            let dialler = process.diallerOfPeer[Int(peer.number)]
        else { return }
        if recorder != nil { recordSend(process, to: dialler.address, message) }
        send(process, dialler, message)
    }

    mutating func stream(_ process: SimulatedProcess, _ address: Address, _ payload: Blob) {
        let dialler = dialler(process, address)
        send(process, dialler, .gossip(payload))
        if dialler.connection == nil { dial(process, dialler) }
    }

    mutating func respond(_ process: SimulatedProcess, _ link: LinkID, _ message: Message) {
        let (id, end) = ConnectionTable.end(of: link)
        guard connections.contains(id), connections[id][end].state == .talking else { return }
        if recorder != nil {
            recordSend(process, to: processes[connections[id][end.other].process].address, message)
        }
        sendFrame(id, end, encode(process, message))
    }

    mutating func accept(_ process: SimulatedProcess, _ link: LinkID, _ remote: NodeID) {
        let (id, end) = ConnectionTable.end(of: link)
        guard connections.contains(id), connections[id][end].state == .greeting else { return }
        connections[id][end].remote = remote
        connections[id][end].state = .talking
        guard end == .dialler, let dialler = connections[id].dialler.dialler else {
            if let hello = process.node?.hello { sendFrame(id, end, encode(process, .hello(hello))) }
            return
        }
        if let expected = dialler.expected, expected != remote {
            close(id, .dialler)
            return
        }
        dialler.failures = 0
        dialler.isUp = true
        let waiting = dialler.waiting
        dialler.waiting.removeAll()
        for frame in waiting where connections.contains(id) { sendFrame(id, .dialler, frame) }
        if let peer = dialler.peer, dialler.isUp { process.events.append(.linkUp(peer)) }
    }

    mutating func refuse(_ process: SimulatedProcess, _ link: LinkID, _ farewell: Farewell) {
        let (id, end) = ConnectionTable.end(of: link)
        guard connections.contains(id), connections[id][end].state != .closed else { return }
        record("\(process.name) refuses a connection: \(farewell.text)")
        sendFrame(id, end, encode(process, .farewell(farewell)))
        close(id, end)
    }

    private func encode(_ process: SimulatedProcess, _ message: Message) -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: 160)
        Frame(time: process.node?.frameTime ?? .zero, message: message).write(to: &writer)
        return writer.bytes
    }

    private mutating func send(_ process: SimulatedProcess, _ dialler: Dialler, _ message: Message) {
        dialler.lastUsed = now
        if dialler.isUp, let connection = dialler.connection {
            sendFrame(connection, .dialler, encode(process, message))
        } else if dialler.waiting.count < Dialler.waitingMax {
            dialler.waiting.append(encode(process, message))
        }
    }

    // MARK: Dialling

    private func dialler(_ process: SimulatedProcess, _ address: Address) -> Dialler {
        if let known = process.diallers[address] { return known }
        let dialler = Dialler(address, now: now)
        process.diallers[address] = dialler
        return dialler
    }

    mutating func dial(_ process: SimulatedProcess, _ dialler: Dialler) {
        guard dialler.connection == nil, process.node != nil else { return }
        let machine = machineOfAddress[dialler.address]
        let target = machine ?? process.index
        let id = connections.insert(
            dialler: Connection.Side(
                process: process.index, life: process.life, dialler: dialler, state: .dialling),
            acceptor: Connection.Side(process: target, life: 0, dialler: nil, state: .dialling))
        dialler.connection = id
        schedule(.impatient(id), after: Self.helloTimeout)
        if machine == nil {
            schedule(.dialFailed(id), after: .milliseconds(1))
        } else {
            schedule(.dialArrived(id), after: network.frameLatency(process.index, target))
        }
    }

    mutating func dialArrived(_ id: ConnectionID) {
        guard connections.contains(id) else { return }
        let (from, to) = (connections[id].dialler.process, connections[id].acceptor.process)
        guard network.isOpen(from, to), !processes[to].isPoweredOff else {
            // The dialler's impatience ends it.
            if connections[id].dialler.state != .closed {
                schedule(.dialArrived(id), after: Self.dialRetransmission)
            }
            return
        }
        let back = network.frameLatency(to, from)
        guard processes[to].isAlive else {
            schedule(.dialFailed(id), after: back)
            return
        }
        connections[id][.acceptor] = Connection.Side(
            process: to, life: processes[to].life, dialler: nil, state: .greeting)
        schedule(.dialAnswered(id), after: back)
    }

    mutating func dialAnswered(_ id: ConnectionID, _ occurrence: Occurrence) throws(Violation) {
        guard connections.contains(id), connections[id].dialler.state == .dialling else { return }
        let side = connections[id].dialler
        guard let process = target(side.process, life: side.life, occurrence) else { return }
        connections[id][.dialler].state = .greeting
        if let hello = process.node?.hello { sendFrame(id, .dialler, encode(process, .hello(hello))) }
    }

    mutating func dialFailed(_ id: ConnectionID, _ occurrence: Occurrence) throws(Violation) {
        guard connections.contains(id), connections[id].dialler.state == .dialling else { return }
        let side = connections[id].dialler
        guard let process = target(side.process, life: side.life, occurrence) else { return }
        connections[id][.acceptor].state = .closed
        close(id, .dialler)
        try finishTurn(process)
    }

    // MARK: Bytes

    /// Puts a frame on its way. What one side sends arrives in order.
    mutating func sendFrame(_ id: ConnectionID, _ end: End, _ frame: [UInt8]) {
        let (from, to) = (connections[id][end].process, connections[id][end.other].process)
        counters.frames += 1
        counters.frameBytes += frame.count
        connections[id][end].bytesInFlight += frame.count
        if connections[id][end].bytesInFlight > Self.bytesInFlightMax {
            close(id, end)
            return
        }
        let arrival = max(connections[id][end].lastArrival, now + network.frameLatency(from, to))
        connections[id][end].lastArrival = arrival
        guard network.corruptsFrame() else {
            heap.push(.bytes(id, to: end.other, frame), at: arrival)
            if network.resets() { reset(id, end) }
            return
        }
        var damaged = frame
        network.corrupt(&damaged)
        heap.push(.bytes(id, to: end.other, damaged), at: arrival)
    }

    /// What a connection may hold in each direction before its sender gives it up.
    static let bytesInFlightMax = 8 << 20

    /// Some box on the way forgets the connection.
    private mutating func reset(_ id: ConnectionID, _ end: End) {
        let side = connections[id][end]
        let other = connections[id][end.other]
        record("the connection of machine \(side.process + 1) to machine \(other.process + 1) is reset")
        schedule(.closed(id, end), after: .zero)
        schedule(.closed(id, end.other), after: .zero)
    }

    mutating func bytesCame(
        _ id: ConnectionID, _ end: End, _ bytes: [UInt8], _ occurrence: Occurrence
    ) throws(Violation) {
        guard connections.contains(id) else { return }
        let (from, to) = (connections[id][end.other].process, connections[id][end].process)
        if network.isBlocked(from, to) || !connections[id][end.other].held.isEmpty
            || processes[to].isPoweredOff
        {
            connections[id][end.other].held.append(bytes)
            beginToStick(id, end.other)
            return
        }
        if network.isBlocked(to, from) { beginToStick(id, end.other) }
        guard connections[id][end].state != .closed, connections[id][end].life == processes[to].life else {
            // Nobody is there any more, and the machine says so.
            schedule(.closed(id, end.other), after: network.frameLatency(to, from))
            return
        }
        guard let process = target(to, life: nil, occurrence) else { return }
        connections[id][end.other].bytesInFlight -= bytes.count
        try receive(process, id, end, bytes)
        try finishTurn(process)
    }

    private mutating func receive(
        _ process: SimulatedProcess, _ id: ConnectionID, _ end: End, _ bytes: [UInt8]
    ) throws(Violation) {
        trace.add(
            at: now, process: process.index, kind: 20 + UInt8(end.rawValue),
            digest: XXH3.hash(bytes.span.bytes))
        var unread = bytes
        if !connections[id][end].received.isEmpty {
            unread = connections[id][end].received + bytes
            connections[id][end].received.removeAll()
        }
        var offset = 0
        while connections.contains(id), connections[id][end].state != .closed, process.node != nil {
            let lengthMax = connections[id][end].state == .talking ? Limits.frameBytesMax : Self.helloBytesMax
            let scan: FrameScan
            do {
                scan = try Frame.scan(unread.span.bytes.extracting(offset...), lengthMax: lengthMax)
            } catch {
                counters.badFrames += 1
                record("\(process.name) closes a connection for bad bytes: \(error)")
                close(id, end)
                break
            }
            guard case .frame(let frame, let consumed) = scan else { break }
            offset += consumed
            try take(process, id, end, frame)
        }
        if offset < unread.count, connections.contains(id), connections[id][end].state != .closed {
            connections[id][end].received = Array(unread[offset...])
        }
    }

    /// A hello needs no more.
    static let helloBytesMax = 8 << 10

    private mutating func take(
        _ process: SimulatedProcess, _ id: ConnectionID, _ end: End, _ frame: Frame
    ) throws(Violation) {
        let link = ConnectionTable.link(id, end)
        switch frame.message {
        case .hello(let hello):
            guard connections[id][end].state == .greeting else { return close(id, end) }
            process.events.append(.hello(link, hello))
        case .farewell(let farewell):
            if let dialler = connections[id][end].dialler {
                process.events.append(.refusedByPeer(dialler.address, farewell))
            }
            close(id, end)
        default:
            guard connections[id][end].state == .talking, let remote = connections[id][end].remote else {
                return close(id, end)
            }
            connections[id][end].dialler?.lastUsed = now
            process.events.append(.peer(link, remote, frame.time, frame.message))
        }
        try pump(process)
    }

    // MARK: Blocks in the way

    private mutating func beginToStick(_ id: ConnectionID, _ end: End) {
        guard !connections[id][end].isStuck else { return }
        connections[id][end].isStuck = true
        schedule(.stuck(id, end), after: links.within(Self.stuckFor))
    }

    /// Whether what the end sends gets nowhere, or is never acknowledged.
    private func isStuck(_ id: ConnectionID, _ end: End) -> Bool {
        let (from, to) = (connections[id][end].process, connections[id][end.other].process)
        return !network.isOpen(from, to) || !connections[id][end].held.isEmpty
            || connections[id][end.other].state == .closed
    }

    mutating func timedOut(_ id: ConnectionID, _ end: End, _ occurrence: Occurrence) throws(Violation) {
        guard connections.contains(id), connections[id][end].state != .closed else { return }
        guard isStuck(id, end) else {
            connections[id][end].isStuck = false
            return
        }
        let side = connections[id][end]
        guard let process = target(side.process, life: side.life, occurrence) else { return }
        close(id, end)
        try finishTurn(process)
    }

    /// A way was opened: what is held on it is sent again, after the retransmission's time.
    mutating func resendHeld() {
        for id in connections.all {
            for end in [End.dialler, End.acceptor] {
                let (from, to) = (connections[id][end].process, connections[id][end.other].process)
                guard !connections[id][end].held.isEmpty, !connections[id][end].isResending,
                    !network.isBlocked(from, to)
                else { continue }
                connections[id][end].isResending = true
                schedule(.resent(id, to: end.other), after: links.within(.milliseconds(20)...(.seconds(2))))
            }
        }
    }

    mutating func resent(_ id: ConnectionID, _ end: End) throws(Violation) {
        guard connections.contains(id) else { return }
        connections[id][end.other].isResending = false
        let (from, to) = (connections[id][end.other].process, connections[id][end].process)
        guard !network.isBlocked(from, to), !processes[to].isPoweredOff else { return }
        let held = connections[id][end.other].held
        connections[id][end.other].held.removeAll()
        for bytes in held { try bytesCame(id, end, bytes, .bytes(id, to: end, bytes)) }
    }

    // MARK: Ends

    /// An end closes. Its process learns of it by events that it handles in the same turn; the other end by a
    /// packet.
    mutating func close(_ id: ConnectionID, _ end: End, isSilent: Bool = false) {
        guard connections.contains(id), connections[id][end].state != .closed else { return }
        let side = connections[id][end]
        connections[id][end].state = .closed
        connections[id][end].received.removeAll()
        if let dialler = side.dialler { connectionEnded(processes[side.process], dialler, side) }
        if connections[id][end.other].state == .closed {
            connections.remove(id)
        } else if !isSilent {
            let latency = network.frameLatency(side.process, connections[id][end.other].process)
            heap.push(.closed(id, end.other), at: max(side.lastArrival, now + latency))
        } else {
            // Only silence tells the other side, after a while.
            schedule(.stuck(id, end.other), after: links.within(Self.stuckFor))
        }
    }

    private mutating func connectionEnded(
        _ process: SimulatedProcess, _ dialler: Dialler, _ side: Connection.Side
    ) {
        dialler.connection = nil
        dialler.isUp = false
        dialler.waiting.removeAll()
        guard process.life == side.life, process.node != nil else { return }
        dialler.failures += 1
        if let peer = dialler.peer {
            process.events.append(.linkDown(peer))
            let longest = min(Dialler.redialMax, Dialler.redialMin * Int64(1 << min(dialler.failures, 10)))
            schedule(
                .redial(process.index, life: process.life, dialler),
                after: links.within(longest / 2...longest))
        } else {
            process.forget(dialler)
            process.events.append(.streamFailed(dialler.address))
        }
    }

    mutating func peerClosed(_ id: ConnectionID, _ end: End, _ occurrence: Occurrence) throws(Violation) {
        guard connections.contains(id), connections[id][end].state != .closed else { return }
        let side = connections[id][end]
        if network.isBlocked(connections[id][end.other].process, side.process) {
            schedule(.closed(id, end), after: Self.dialRetransmission)
            return
        }
        guard processes[side.process].life == side.life else {
            close(id, end, isSilent: true)
            return
        }
        guard let process = target(side.process, life: side.life, occurrence) else { return }
        // The other end is closed, or about to hear the same.
        close(id, end)
        try finishTurn(process)
    }

    /// The hello took too long; or a stranger's connection has been idle.
    mutating func impatient(_ id: ConnectionID) throws(Violation) {
        guard connections.contains(id) else { return }
        for end in [End.dialler, End.acceptor] where connections.contains(id) {
            let side = connections[id][end]
            let process = processes[side.process]
            guard side.state == .dialling || side.state == .greeting, side.life == process.life,
                process.state == .running
            else { continue }
            close(id, end)
            try finishTurn(process)
        }
        guard connections.contains(id), let dialler = connections[id].dialler.dialler, dialler.peer == nil
        else { return }
        let process = processes[connections[id].dialler.process]
        if now - dialler.lastUsed > Dialler.strangerIdleMax, process.state == .running {
            close(id, .dialler)
            try finishTurn(process)
        } else {
            schedule(.impatient(id), after: Dialler.strangerIdleMax)
        }
    }

    /// The process is gone, and with it its ends of all connections.
    mutating func closeAll(of process: SimulatedProcess, isSilent: Bool) {
        for id in connections.all {
            for end in [End.dialler, End.acceptor] where connections.contains(id) {
                let side = connections[id][end]
                if side.process == process.index, side.life == process.life, side.state != .closed {
                    close(id, end, isSilent: isSilent)
                }
            }
        }
        process.diallers.removeAll()
        process.diallerOfPeer.removeAll()
    }

    // MARK: Datagrams

    mutating func sendDatagram(_ process: SimulatedProcess, _ address: Address, _ bytes: Blob) {
        guard let machine = machineOfAddress[address] else { return }
        counters.datagrams += 1
        counters.datagramBytes += bytes.count
        var payload = bytes
        if network.corruptsDatagram() {
            var damaged = bytes.bytes
            network.corrupt(&damaged)
            payload = Blob(damaged)
        }
        let (first, copy) = network.datagramLatencies(process.index, machine)
        if let first { schedule(.datagram(machine, from: process.index, payload), after: first) }
        if let copy { schedule(.datagram(machine, from: process.index, payload), after: copy) }
    }
}
