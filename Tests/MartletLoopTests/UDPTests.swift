import MartletBase
import MartletLoop
import Testing

@Suite struct UDPTests {
    @Test(arguments: IPAddress.loopbacks)
    func datagramsGoThereAndBackWithTheirSendersAddress(_ ip: IPAddress) throws {
        let sizes = [0, 1, 1_400, 60_000, Limits.packetBytesMax]
        var received: [Int] = []
        try withLoop { loop in
            var server: UDPSocket?
            server = try UDPSocket(loop, Address(ip: ip, port: 0)) { from, bytes in
                #expect(from.ip == ip)
                server?.send(bytes, to: from)
            }
            guard let target = server?.address else { return }
            #expect(target.port != 0)
            let client = try UDPSocket(loop, Address(ip: ip, port: 0)) { from, bytes in
                #expect(from == target)
                let array = bytes.array
                #expect(
                    array == [UInt8](repeating: UInt8(truncatingIfNeeded: array.count), count: array.count))
                received.append(array.count)
                if received.count == sizes.count { loop.stop() }
            }
            for size in sizes {
                let sent = client.send(
                    [UInt8](repeating: UInt8(truncatingIfNeeded: size), count: size), to: target)
                #expect(sent)
            }
        }
        #expect(received == sizes)
    }

    @Test func whatCannotBeSentIsCounted() throws {
        let loop = try EventLoop()
        defer { loop.shutDown() }
        let socket = try UDPSocket(loop, Address(ip: .loopback, port: 0)) { _, _ in }
        let tooLarge = [UInt8](repeating: 0, count: Limits.packetBytesMax + 1)
        #expect(!socket.send(tooLarge, to: socket.address))
        #expect(loop.counters.datagramsDropped == 1)
        socket.close()
        #expect(!socket.send([1], to: socket.address))
    }

    @Test func anAddressInUseIsNamed() throws {
        let loop = try EventLoop()
        defer { loop.shutDown() }
        let first = try UDPSocket(loop, Address(ip: .loopback, port: 0)) { _, _ in }
        let error = #expect(throws: LoopError.self) { try UDPSocket(loop, first.address) { _, _ in } }
        #expect(error?.cause == .addressInUse)
        #expect(error?.address == first.address)
    }
}
