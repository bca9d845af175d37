import CUV
import Glibc
import MartletBase

extension Address {
    /// Calls `body` with the address as the system's calls take it: as IPv4 when it is an IPv4-mapped
    /// address.
    func withSocketAddress<R>(_ body: (UnsafePointer<sockaddr>) -> R) -> R {
        if let v4 = ip.v4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = v4.bigEndian
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
            }
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { bytes in
            bytes.storeBytes(of: ip.high.bigEndian, as: UInt64.self)
            bytes.storeBytes(of: ip.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
    }

    /// Nil for a family other than IPv4 and IPv6.
    init?(_ address: UnsafePointer<sockaddr>) {
        let raw = UnsafeRawPointer(address)
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            let v4 = raw.loadUnaligned(as: sockaddr_in.self)
            let low = 0xFFFF_0000_0000 | UInt64(UInt32(bigEndian: v4.sin_addr.s_addr))
            self.init(ip: IPAddress(high: 0, low: low), port: UInt16(bigEndian: v4.sin_port))
        case AF_INET6:
            var v6 = raw.loadUnaligned(as: sockaddr_in6.self)
            let ip = withUnsafeBytes(of: &v6.sin6_addr) { bytes in
                IPAddress(
                    high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                    low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
            }
            self.init(ip: ip, port: UInt16(bigEndian: v6.sin6_port))
        default:
            return nil
        }
    }

    /// The address that `read` (one of libuv's `get…name` calls) fills in; nil when it fails.
    static func filled(
        by read: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<Int32>) -> Int32
    ) -> Address? {
        var storage = sockaddr_storage()
        var length = Int32(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                read(address, &length) < 0 ? nil : Address(UnsafePointer(address))
            }
        }
    }
}
