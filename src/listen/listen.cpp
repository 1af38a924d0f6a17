// Preloaded (LD_PRELOAD) into the processes of a session: a socket that would listen on all interfaces of
// the machine listens on one address instead: that of NAV_PKG_LISTEN, by default 127.0.0.1.
//
// Gazebo's transport, the discovery of ignition transport and roscpp's XML-RPC server bind to 0.0.0.0 and
// have no setting for it. GAZEBO_IP, IGN_IP and ROS_IP change only the address that they advertise.

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <cstring>

namespace {

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

in_addr_t chosen() {
  const char* text = std::getenv("NAV_PKG_LISTEN");
  in_addr address;
  return text != nullptr && inet_pton(AF_INET, text, &address) == 1 ? address.s_addr : htonl(INADDR_LOOPBACK);
}

int really_bind(int socket, const sockaddr* address, socklen_t length) {
  static const auto real = next<int (*)(int, const sockaddr*, socklen_t)>("bind");
  return real(socket, address, length);
}

// Binds a socket without an address; otherwise the system would bind it on all interfaces.
void bind_unbound(int socket) {
  sockaddr_storage own{};
  socklen_t length = sizeof(own);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&own), &length) != 0) return;
  if (own.ss_family == AF_INET && reinterpret_cast<sockaddr_in*>(&own)->sin_port == 0) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = chosen();
    really_bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
}

}  // namespace

extern "C" {

int bind(int socket, const sockaddr* address, socklen_t length) noexcept {
  if (address != nullptr && address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in own;
    std::memcpy(&own, address, sizeof(own));
    if (own.sin_addr.s_addr == htonl(INADDR_ANY)) own.sin_addr.s_addr = chosen();
    return really_bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof(own));
  }
  if (address != nullptr && address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 own;
    std::memcpy(&own, address, sizeof(own));
    if (IN6_IS_ADDR_UNSPECIFIED(&own.sin6_addr)) {
      int only = 0;
      socklen_t size = sizeof(only);
      getsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size);
      if (only) {
        own.sin6_addr = in6addr_loopback;
      } else {  // it accepts IPv4 as well: the chosen address as IPv4-mapped IPv6, ::ffff:a.b.c.d
        const in_addr_t plain = chosen();
        std::memset(&own.sin6_addr, 0, sizeof(own.sin6_addr));
        std::memset(own.sin6_addr.s6_addr + 10, 0xff, 2);
        std::memcpy(own.sin6_addr.s6_addr + 12, &plain, sizeof(plain));
      }
    }
    return really_bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof(own));
  }
  return really_bind(socket, address, length);
}

int listen(int socket, int backlog) noexcept {
  static const auto real = next<int (*)(int, int)>("listen");
  bind_unbound(socket);
  return real(socket, backlog);
}

// Sending a datagram from a socket without an address would open a port on all interfaces.
ssize_t sendto(int socket, const void* data, size_t size, int flags, const sockaddr* to, socklen_t length) {
  static const auto real =
      next<ssize_t (*)(int, const void*, size_t, int, const sockaddr*, socklen_t)>("sendto");
  int type = 0;
  socklen_t room = sizeof(type);
  if (to != nullptr && getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &room) == 0 && type == SOCK_DGRAM) {
    bind_unbound(socket);
  }
  return real(socket, data, size, flags, to, length);
}

}  // extern "C"
