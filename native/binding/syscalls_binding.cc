#include "syscalls_binding.h"

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "js_errors.h"
#include "syscall_worker.h"

namespace {

using lazuli::SyscallFailure;

constexpr uint64_t kIntMax = std::numeric_limits<int>::max();
constexpr uint64_t kSafeMax = (uint64_t{1} << 53) - 1;
constexpr uint64_t kMessageMax = 1 << 20;

std::string textArgument(const Napi::Value& value, const char* name) {
  if (!value.IsString()) throw std::invalid_argument(std::string(name) + " is not a text");
  std::string text = value.As<Napi::String>().Utf8Value();
  // A zero byte would cut the text where the kernel reads it.
  if (text.find('\0') != std::string::npos) throw std::invalid_argument(std::string(name) + " holds a zero byte");
  return text;
}

Napi::Value settled(Napi::Env env, const SyscallFailure& failure, const Napi::Value& value) {
  if (!failure) return value;
  lazuli::failureError(env, failure).ThrowAsJavaScriptException();
  return env.Undefined();
}

Napi::Value mountCall(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    auto source = textArgument(info[0], "source");
    auto target = textArgument(info[1], "target");
    auto type = textArgument(info[2], "type");
    const auto flags = lazuli::integerArgument(info[3], "flags", 0, kSafeMax);
    auto data = textArgument(info[4], "data");
    return lazuli::SyscallWorker::run(info.Env(), [=] { return lazuli::mountClassic(source, target, type, flags, data); });
  });
}

std::vector<lazuli::MountOption> mountOptions(const Napi::Value& value) {
  if (!value.IsArray()) throw std::invalid_argument("options is not an array");
  const auto array = value.As<Napi::Array>();
  std::vector<lazuli::MountOption> options;
  for (uint32_t index = 0; index < array.Length(); index += 1) {
    const Napi::Value item = array[index];
    if (!item.IsArray()) throw std::invalid_argument("an option is not a pair");
    const auto pair = item.As<Napi::Array>();
    const Napi::Value key = pair[0u];
    const Napi::Value text = pair[1u];
    lazuli::MountOption option{textArgument(key, "option"), {}, text.IsUndefined()};
    if (!option.isFlag) option.value = textArgument(text, "value of an option");
    options.push_back(std::move(option));
  }
  return options;
}

Napi::Value fsmountCall(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    auto type = textArgument(info[0], "type");
    auto options = mountOptions(info[1]);
    const auto attributes = static_cast<unsigned>(lazuli::integerArgument(info[2], "attributes", 0, UINT32_MAX));
    auto target = textArgument(info[3], "target");
    return lazuli::SyscallWorker::run(info.Env(), [=] { return lazuli::mountNew(type, options, attributes, target); });
  });
}

Napi::Value umountCall(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    auto target = textArgument(info[0], "target");
    const auto flags = static_cast<int>(lazuli::integerArgument(info[1], "flags", 0, kIntMax));
    return lazuli::SyscallWorker::run(info.Env(), [=] { return lazuli::unmount(target, flags); });
  });
}

Napi::Value openFuseCall(const Napi::CallbackInfo& info) {
  int fd = -1;
  const SyscallFailure failure = lazuli::openFuse(&fd);
  return settled(info.Env(), failure, Napi::Number::New(info.Env(), fd));
}

Napi::Value openat2Call(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    // AT_FDCWD is the one negative descriptor that has a meaning.
    const int directory =
        info[0].IsNumber() && info[0].As<Napi::Number>().Int32Value() == -100 ? -100 : lazuli::descriptorArgument(info[0], "dirFd");
    const auto path = textArgument(info[1], "path");
    const auto flags = lazuli::integerArgument(info[2], "flags", 0, kSafeMax);
    const auto mode = lazuli::integerArgument(info[3], "mode", 0, 07777);
    const auto resolve = lazuli::integerArgument(info[4], "resolve", 0, kSafeMax);
    int fd = -1;
    const SyscallFailure failure = lazuli::openAt2(directory, path, flags, mode, resolve, &fd);
    return settled(info.Env(), failure, Napi::Number::New(info.Env(), fd));
  });
}

Napi::Value syncfsCall(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    const int fd = lazuli::descriptorArgument(info[0], "fd");
    return lazuli::SyscallWorker::run(info.Env(), [=] { return lazuli::syncFileSystem(fd); });
  });
}

Napi::Value sendFdsCall(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    const int socketFd = lazuli::descriptorArgument(info[0], "socketFd");
    const auto data = lazuli::bytesArgument(info[1], "data");
    if (!info[2].IsArray()) throw std::invalid_argument("fds is not an array");
    const auto array = info[2].As<Napi::Array>();
    std::vector<int> fds;
    for (uint32_t index = 0; index < array.Length(); index += 1) {
      const Napi::Value fd = array[index];
      fds.push_back(lazuli::descriptorArgument(fd, "fds"));
    }
    return settled(info.Env(), lazuli::sendDescriptors(socketFd, data.data(), data.size(), fds), info.Env().Undefined());
  });
}

Napi::Value receiveFdsCall(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    const int socketFd = lazuli::descriptorArgument(info[0], "socketFd");
    const auto dataMax = lazuli::integerArgument(info[1], "dataMax", 1, kMessageMax);
    const auto fdsMax = lazuli::integerArgument(info[2], "fdsMax", 0, lazuli::FDS_MAX);
    auto message = std::make_shared<lazuli::ReceivedMessage>();
    return lazuli::SyscallWorker::run(
        info.Env(), [=] { return lazuli::receiveDescriptors(socketFd, dataMax, fdsMax, message.get()); },
        [=](Napi::Env env) -> Napi::Value {
          Napi::Object result = Napi::Object::New(env);
          Napi::Array fds = Napi::Array::New(env, message->fds.size());
          for (size_t index = 0; index < message->fds.size(); index += 1) {
            fds.Set(static_cast<uint32_t>(index), Napi::Number::New(env, message->fds[index]));
          }
          result.Set("data", Napi::Buffer<uint8_t>::Copy(env, message->data.data(), message->data.size()));
          result.Set("fds", fds);
          return result;
        });
  });
}

Napi::Value sendDatagramCall(const Napi::CallbackInfo& info) {
  return lazuli::guarded(info.Env(), [&]() -> Napi::Value {
    const auto path = textArgument(info[0], "path");
    const auto data = lazuli::bytesArgument(info[1], "data");
    const std::string text(reinterpret_cast<const char*>(data.data()), data.size());
    return settled(info.Env(), lazuli::sendDatagram(path, text), info.Env().Undefined());
  });
}

Napi::Value realtimeCall(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), lazuli::realtimeNanoseconds());
}

Napi::Value socketPairCall(const Napi::CallbackInfo& info) {
  int fds[2] = {-1, -1};
  const SyscallFailure failure = lazuli::socketPair(fds);
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0u, Napi::Number::New(info.Env(), fds[0]));
  pair.Set(1u, Napi::Number::New(info.Env(), fds[1]));
  return settled(info.Env(), failure, pair);
}

}  // namespace

Napi::Object initSyscalls(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  add("mount", mountCall);
  add("fsmount", fsmountCall);
  add("umount", umountCall);
  add("openFuse", openFuseCall);
  add("openat2", openat2Call);
  add("syncfs", syncfsCall);
  add("sendFds", sendFdsCall);
  add("receiveFds", receiveFdsCall);
  add("sendDatagram", sendDatagramCall);
  add("realtimeNanoseconds", realtimeCall);
  add("socketPair", socketPairCall);
  return exports;
}
