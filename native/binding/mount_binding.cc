#include "mount_binding.h"

#include <climits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../core/idmap_namespace.h"
#include "../core/idmap_tree.h"
#include "../core/mount_loop.h"
#include "../core/mount_steps.h"
#include "arguments.h"
#include "pending_call.h"

namespace lazuli {
namespace {

/** The kernel takes no longer map (UID_GID_MAP_MAX_EXTENTS). */
constexpr uint32_t RANGES_MAX = 340;

/** JavaScript owns a descriptor once it has its number. */
Napi::Value toNumber(Napi::Env env, FileDescriptor& fd) {
  return Napi::Number::New(env, fd.release());
}

MountValue valueArgument(const Napi::Value& value) {
  if (value.IsUndefined()) return {};
  if (value.IsNumber()) return descriptorArgument(value, "value");
  return textArgument(value, "value");
}

std::vector<MountSetting> settingsArgument(const Napi::Value& value) {
  if (!value.IsArray()) throw std::invalid_argument("Argument \"settings\" must be an array");
  const auto pairs = value.As<Napi::Array>();
  std::vector<MountSetting> settings;
  for (uint32_t i = 0; i < pairs.Length(); i++) {
    const Napi::Value pair = pairs[i];
    if (!pair.IsArray()) throw std::invalid_argument("Argument \"settings\" must hold pairs");
    const Napi::Value key = pair.As<Napi::Array>()[0U];
    const Napi::Value text = pair.As<Napi::Array>()[1U];
    settings.push_back({textArgument(key, "settings"), valueArgument(text)});
  }
  return settings;
}

Napi::Value makeCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto attributes = static_cast<uint32_t>(integerArgument(info[2], "attributes", 0, UINT32_MAX));
    const auto run = [type = textArgument(info[0], "type"), settings = settingsArgument(info[1]), attributes] {
      return makeMount(type, settings, attributes);
    };
    return later<FileDescriptor>(info.Env(), "fsmount", run, toNumber);
  });
}

Napi::Value trySettingCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto run = [type = textArgument(info[0], "type"),
                      setting = MountSetting{textArgument(info[1], "key"), valueArgument(info[2])}] {
      return trySetting(type, setting), std::monostate{};
    };
    return later<std::monostate>(info.Env(), "fsconfig", run, nothing);
  });
}

Napi::Value cloneCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const bool isRecursive = booleanArgument(info[1], "isRecursive");
    const auto run = [path = textArgument(info[0], "path"), isRecursive] { return cloneMount(path, isRecursive); };
    return later<FileDescriptor>(info.Env(), "open_tree", run, toNumber);
  });
}

Napi::Value setAttributesCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const int mount = descriptorArgument(info[0], "mountFd");
    MountAttributes attributes;
    attributes.set = integerArgument(info[1], "attributes", 0, UINT32_MAX);
    if (!info[2].IsUndefined()) attributes.userNamespace = descriptorArgument(info[2], "userNamespaceFd");
    attributes.isRecursive = booleanArgument(info[3], "isRecursive");
    const auto run = [mount, attributes] { return setMountAttributes(mount, attributes), std::monostate{}; };
    return later<std::monostate>(info.Env(), "mount_setattr", run, nothing);
  });
}

Napi::Value attachCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const int mount = descriptorArgument(info[0], "mountFd");
    const auto run = [mount, target = textArgument(info[1], "target")] {
      return attachMount(mount, target), std::monostate{};
    };
    return later<std::monostate>(info.Env(), "move_mount", run, nothing);
  });
}

Napi::Value mountFromCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    MountOptions options{textArgument(info[1], "source"), textArgument(info[2], "target"),
                         textArgument(info[3], "type"), integerArgument(info[4], "flags", 0, UINT32_MAX),
                         textArgument(info[5], "data")};
    const auto run = [folder = textArgument(info[0], "folder"), options = std::move(options)] {
      return mountFrom(folder, options), std::monostate{};
    };
    return later<std::monostate>(info.Env(), "mount", run, nothing);
  });
}

Napi::Value openPlaceCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto run = [path = textArgument(info[0], "path")] { return openPlace(path); };
    return later<FileDescriptor>(info.Env(), "open", run, toNumber);
  });
}

Napi::Value resolveCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto run = [root = textArgument(info[0], "root"), inside = textArgument(info[1], "inside")] {
      return resolveInRoot(root, inside);
    };
    const auto toText = [](Napi::Env env, std::string& path) -> Napi::Value { return Napi::String::New(env, path); };
    return later<std::string>(info.Env(), "openat2", run, toText);
  });
}

Napi::Value toLoop(Napi::Env env, LoopDevice& device) {
  auto value = Napi::Object::New(env);
  value.Set("path", Napi::String::New(env, device.path));
  value.Set("fd", toNumber(env, device.fd));
  return value;
}

Napi::Value attachLoopCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const bool isReadOnly = booleanArgument(info[1], "isReadOnly");
    const auto run = [file = textArgument(info[0], "file"), isReadOnly] { return attachLoop(file, isReadOnly); };
    return later<LoopDevice>(info.Env(), "ioctl", run, toLoop);
  });
}

Napi::Value setLoopAutoclearCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const int device = descriptorArgument(info[0], "device");
    const bool isOn = booleanArgument(info[1], "isOn");
    const auto run = [device, isOn] { return setLoopAutoclear(device, isOn), std::monostate{}; };
    return later<std::monostate>(info.Env(), "ioctl", run, nothing);
  });
}

Napi::Value userNamespaceCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto run = [uids = textArgument(info[0], "uidMap"), gids = textArgument(info[1], "gidMap")] {
      return makeUserNamespace(uids, gids);
    };
    return later<FileDescriptor>(info.Env(), "clone3", run, toNumber);
  });
}

/** An array of [inside, outside, size]. */
IdRanges rangesArgument(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) throw std::invalid_argument(std::string("Argument \"") + name + "\" must be an array");
  const auto list = value.As<Napi::Array>();
  if (list.Length() > RANGES_MAX) throw std::invalid_argument(std::string("Argument \"") + name + "\" is too long");
  std::vector<IdRange> ranges;
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Value item = list[i];
    if (!item.IsArray()) throw std::invalid_argument(std::string("Argument \"") + name + "\" must hold arrays");
    const auto number = [&](uint32_t index, uint64_t min) {
      const Napi::Value part = item.As<Napi::Array>()[index];
      return static_cast<uint32_t>(integerArgument(part, name, min, UINT32_MAX));
    };
    ranges.push_back({number(0, 0), number(1, 0), number(2, 1)});
  }
  return IdRanges(std::move(ranges));
}

Napi::Value toCount(Napi::Env env, uint64_t& count) {
  return Napi::Number::New(env, static_cast<double>(count));
}

Napi::Value remapCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    const auto flag = std::make_shared<CancelFlag>(false);
    const auto run = [flag, root = textArgument(info[0], "root"), uids = rangesArgument(info[1], "uids"),
                      gids = rangesArgument(info[2], "gids")] { return TreeRemap(uids, gids, *flag).run(root); };
    auto call = Napi::Object::New(info.Env());
    call.Set("done", later<uint64_t>(info.Env(), "remap", run, toCount));
    const auto cancel = [flag](const Napi::CallbackInfo&) { flag->store(true, std::memory_order_relaxed); };
    call.Set("cancel", Napi::Function::New(info.Env(), cancel, "cancel"));
    return call;
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initMounts(Napi::Env env, Napi::Object exports) {
  using namespace lazuli;
  auto mounts = Napi::Object::New(env);
  mounts.Set("make", Napi::Function::New(env, makeCall, "make"));
  mounts.Set("trySetting", Napi::Function::New(env, trySettingCall, "trySetting"));
  mounts.Set("clone", Napi::Function::New(env, cloneCall, "clone"));
  mounts.Set("setAttributes", Napi::Function::New(env, setAttributesCall, "setAttributes"));
  mounts.Set("attach", Napi::Function::New(env, attachCall, "attach"));
  mounts.Set("mountFrom", Napi::Function::New(env, mountFromCall, "mountFrom"));
  mounts.Set("openPlace", Napi::Function::New(env, openPlaceCall, "openPlace"));
  mounts.Set("resolve", Napi::Function::New(env, resolveCall, "resolve"));
  mounts.Set("attachLoop", Napi::Function::New(env, attachLoopCall, "attachLoop"));
  mounts.Set("setLoopAutoclear", Napi::Function::New(env, setLoopAutoclearCall, "setLoopAutoclear"));
  mounts.Set("userNamespace", Napi::Function::New(env, userNamespaceCall, "userNamespace"));
  mounts.Set("remap", Napi::Function::New(env, remapCall, "remap"));
  exports.Set("mounts", mounts);
  return exports;
}
