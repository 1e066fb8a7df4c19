#include "syscalls_binding.h"

#include <fcntl.h>

#include <climits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../core/syscalls.h"
#include "arguments.h"
#include "pending_call.h"

namespace lazuli {
namespace {

Napi::Value mountCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    MountOptions options{textArgument(info[0], "source"), textArgument(info[1], "target"),
                         textArgument(info[2], "type"), integerArgument(info[3], "flags", 0, UINT32_MAX),
                         textArgument(info[4], "data")};
    return later<std::monostate>(
        info.Env(), "mount", [options = std::move(options)] { return mountOld(options), std::monostate{}; }, nothing);
  });
}

NewMountOptions newMountArguments(const Napi::CallbackInfo& info) {
  NewMountOptions options;
  options.type = textArgument(info[0], "type");
  if (!info[1].IsArray()) throw std::invalid_argument("Argument \"options\" must be an array");
  const auto pairs = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < pairs.Length(); i++) {
    const Napi::Value pair = pairs[i];
    if (!pair.IsArray()) throw std::invalid_argument("Argument \"options\" must hold pairs");
    const Napi::Value key = pair.As<Napi::Array>()[0U];
    const Napi::Value value = pair.As<Napi::Array>()[1U];
    std::optional<std::string> text;
    if (!value.IsUndefined()) text = textArgument(value, "options");
    options.options.emplace_back(textArgument(key, "options"), std::move(text));
  }
  options.attributes = static_cast<uint32_t>(integerArgument(info[2], "attributes", 0, UINT32_MAX));
  options.target = textArgument(info[3], "target");
  return options;
}

Napi::Value fsmountCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    return later<std::monostate>(
        info.Env(), "fsmount",
        [options = newMountArguments(info)] { return mountNew(options), std::monostate{}; }, nothing);
  });
}

Napi::Value umountCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const int flags = static_cast<int>(integerArgument(info[1], "flags", 0, INT_MAX));
    return later<std::monostate>(
        info.Env(), "umount2",
        [target = textArgument(info[0], "target"), flags] { return unmount(target, flags), std::monostate{}; },
        nothing);
  });
}

/** JavaScript owns a descriptor once it has its number. */
Napi::Value released(Napi::Env env, FileDescriptor fd) {
  return Napi::Number::New(env, fd.release());
}

Napi::Value openFuseCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] { return released(info.Env(), openFuse()); });
}

int dirFdArgument(const Napi::Value& value) {
  const bool isCurrent = value.IsNumber() && value.As<Napi::Number>().DoubleValue() == AT_FDCWD;
  return isCurrent ? AT_FDCWD : descriptorArgument(value, "dirFd");
}

Napi::Value openat2Call(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const OpenOptions options{dirFdArgument(info[0]), textArgument(info[1], "path"),
                              integerArgument(info[2], "flags", 0, UINT32_MAX),
                              integerArgument(info[3], "mode", 0, 07777),
                              integerArgument(info[4], "resolve", 0, UINT32_MAX)};
    return released(info.Env(), openBeneath(options));
  });
}

Napi::Value syncfsCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const int fd = descriptorArgument(info[0], "fd");
    return later<std::monostate>(
        info.Env(), "syncfs", [fd] { return syncFileSystem(fd), std::monostate{}; }, nothing);
  });
}

std::vector<int> descriptorsArgument(const Napi::Value& value) {
  if (!value.IsArray()) throw std::invalid_argument("Argument \"fds\" must be an array");
  const auto numbers = value.As<Napi::Array>();
  if (numbers.Length() > FDS_MAX) throw SystemCallError(EINVAL, "sendmsg", "too many descriptors");
  std::vector<int> fds;
  for (uint32_t i = 0; i < numbers.Length(); i++) {
    const Napi::Value number = numbers[i];
    fds.push_back(descriptorArgument(number, "fds"));
  }
  return fds;
}

Napi::Value sendFdsCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    sendFds(descriptorArgument(info[0], "socketFd"), bytesArgument(info[1], "data"), descriptorsArgument(info[2]));
    return info.Env().Undefined();
  });
}

Napi::Value toReceived(Napi::Env env, Message& message) {
  auto fds = Napi::Array::New(env, message.fds.size());
  for (uint32_t i = 0; i < message.fds.size(); i++) fds[i] = released(env, std::move(message.fds[i]));
  auto received = Napi::Object::New(env);
  received.Set("data", Napi::Buffer<uint8_t>::Copy(env, message.data.data(), message.data.size()));
  received.Set("fds", fds);
  return received;
}

Napi::Value receiveFdsCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const int socket = descriptorArgument(info[0], "socketFd");
    const size_t dataMax = integerArgument(info[1], "dataMax", 1, MESSAGE_BYTES_MAX);
    const size_t fdsMax = integerArgument(info[2], "fdsMax", 0, FDS_MAX);
    return later<Message>(
        info.Env(), "recvmsg", [=] { return receiveFds(socket, dataMax, fdsMax); }, toReceived);
  });
}

Napi::Value sendDatagramCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const bool hasFds = info.Length() > 2;
    sendDatagram(textArgument(info[0], "path"), bytesArgument(info[1], "data"),
                 hasFds ? descriptorsArgument(info[2]) : std::vector<int>());
    return info.Env().Undefined();
  });
}

/** Descriptors that one answer may bring: one a mounted layer. */
constexpr uint64_t EXCHANGE_FDS_MAX = 8192;

Napi::Value exchangeCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const std::span<const uint8_t> bytes = bytesArgument(info[1], "data");
    const size_t fdsMax = integerArgument(info[3], "fdsMax", 0, EXCHANGE_FDS_MAX);
    return later<Message>(
        info.Env(), "exchange",
        [path = textArgument(info[0], "path"), data = std::vector<uint8_t>(bytes.begin(), bytes.end()),
         fds = descriptorsArgument(info[2]), fdsMax] { return exchange(path, data, fds, fdsMax); },
        toReceived);
  });
}

Napi::Value askToResendCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    return Napi::Boolean::New(info.Env(), askToResend(descriptorArgument(info[0], "fuseFd")));
  });
}

Napi::Value realtimeCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] { return Napi::BigInt::New(info.Env(), realtimeNanoseconds()); });
}

Napi::Value closeOnExecCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    closeOnExec();
    return info.Env().Undefined();
  });
}

Napi::Value makeFifoCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto mode = static_cast<mode_t>(integerArgument(info[1], "mode", 0, 0777));
    makeFifo(textArgument(info[0], "path"), mode);
    return info.Env().Undefined();
  });
}

Napi::Value socketPairCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    auto [left, right] = makeSocketPair();
    auto ends = Napi::Array::New(info.Env(), 2);
    ends[0U] = released(info.Env(), std::move(left));
    ends[1U] = released(info.Env(), std::move(right));
    return ends;
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initSyscalls(Napi::Env env, Napi::Object exports) {
  using namespace lazuli;
  exports.Set("mount", Napi::Function::New(env, mountCall, "mount"));
  exports.Set("fsmount", Napi::Function::New(env, fsmountCall, "fsmount"));
  exports.Set("umount", Napi::Function::New(env, umountCall, "umount"));
  exports.Set("openFuse", Napi::Function::New(env, openFuseCall, "openFuse"));
  exports.Set("openat2", Napi::Function::New(env, openat2Call, "openat2"));
  exports.Set("syncfs", Napi::Function::New(env, syncfsCall, "syncfs"));
  exports.Set("sendFds", Napi::Function::New(env, sendFdsCall, "sendFds"));
  exports.Set("receiveFds", Napi::Function::New(env, receiveFdsCall, "receiveFds"));
  exports.Set("sendDatagram", Napi::Function::New(env, sendDatagramCall, "sendDatagram"));
  exports.Set("exchange", Napi::Function::New(env, exchangeCall, "exchange"));
  exports.Set("askToResend", Napi::Function::New(env, askToResendCall, "askToResend"));
  exports.Set("realtimeNanoseconds", Napi::Function::New(env, realtimeCall, "realtimeNanoseconds"));
  exports.Set("closeOnExec", Napi::Function::New(env, closeOnExecCall, "closeOnExec"));
  exports.Set("makeFifo", Napi::Function::New(env, makeFifoCall, "makeFifo"));
  exports.Set("socketPair", Napi::Function::New(env, socketPairCall, "socketPair"));
  return exports;
}
