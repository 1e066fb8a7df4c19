#include "layer_files_binding.h"

#include <fcntl.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../core/archive_assembly.h"
#include "../core/layer_unpack.h"
#include "../core/syscalls.h"
#include "../core/tree_changes.h"
#include "arguments.h"
#include "pending_call.h"

namespace lazuli {
namespace {

constexpr uint32_t PARENTS_MAX = 1024;

using Flag = std::shared_ptr<CancelFlag>;
using Bytes = std::shared_ptr<std::vector<uint8_t>>;

/** `{ done, cancel }`: the promise, and what makes it end before its time. */
Napi::Value cancellable(Napi::Env env, const Flag& flag, const Napi::Promise& done) {
  auto call = Napi::Object::New(env);
  call.Set("done", done);
  const auto cancel = [flag](const Napi::CallbackInfo&) { flag->store(true, std::memory_order_relaxed); };
  call.Set("cancel", Napi::Function::New(env, cancel, "cancel"));
  return call;
}

/** A copy: JavaScript may change or free its own. */
Bytes copied(const Napi::Value& value) {
  const auto bytes = bytesArgument(value, "records");
  return std::make_shared<std::vector<uint8_t>>(bytes.begin(), bytes.end());
}

/** Of our own, because the caller may close its number while the call runs. */
std::shared_ptr<FileDescriptor> duplicated(const Napi::Value& value) {
  auto file = std::make_shared<FileDescriptor>(fcntl(descriptorArgument(value, "fd"), F_DUPFD_CLOEXEC, 0));
  if (!*file) throw SystemCallError(errno, "fcntl");
  return file;
}

std::vector<std::string> textsArgument(const Napi::Value& value) {
  if (!value.IsArray()) throw std::invalid_argument("Argument \"parents\" must be an array");
  const auto array = value.As<Napi::Array>();
  if (array.Length() > PARENTS_MAX) throw std::invalid_argument("Argument \"parents\" is too long");
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value text = array[i];
    texts.push_back(textArgument(text, "parents"));
  }
  return texts;
}

Napi::Value unpackCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const auto object = objectArgument(info[0], "options");
    const auto archive = duplicated(object.Get("archiveFd"));
    LayerUnpackOptions options{
        .root = textArgument(object.Get("root"), "root"),
        .archive = archive->get(),
        .isOverlay = booleanArgument(object.Get("isOverlay"), "isOverlay"),
        .parents = textsArgument(object.Get("parents")),
    };
    const auto flag = std::make_shared<CancelFlag>(false);
    const auto run = [flag, archive, options = std::move(options), bytes = copied(object.Get("records"))] {
      return unpackLayer(options, *bytes, *flag), std::monostate{};
    };
    return cancellable(info.Env(), flag, later<std::monostate>(info.Env(), "unpackLayer", run, nothing));
  });
}

Napi::Value toBuffer(Napi::Env env, std::string& bytes) {
  return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size());
}

Napi::Value changesCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const auto object = objectArgument(info[0], "options");
    const Napi::Value guide = object.Get("guide");
    TreeChangesOptions options{
        .lower = textArgument(object.Get("lower"), "lower"),
        .upper = textArgument(object.Get("upper"), "upper"),
        .guide = guide.IsUndefined() ? "" : textArgument(guide, "guide"),
    };
    const auto flag = std::make_shared<CancelFlag>(false);
    const auto run = [flag, options = std::move(options)] { return treeChanges(options, *flag); };
    return cancellable(info.Env(), flag, later<std::string>(info.Env(), "treeChanges", run, toBuffer));
  });
}

Napi::Value assembleCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&] {
    const auto object = objectArgument(info[0], "options");
    const auto archive = duplicated(object.Get("archiveFd"));
    const auto flag = std::make_shared<CancelFlag>(false);
    const auto run = [flag, archive, root = textArgument(object.Get("root"), "root"),
                      bytes = copied(object.Get("records"))] {
      return assembleArchive(root, *bytes, archive->get(), *flag), std::monostate{};
    };
    return cancellable(info.Env(), flag, later<std::monostate>(info.Env(), "assembleArchive", run, nothing));
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initLayerFiles(Napi::Env env, Napi::Object exports) {
  using namespace lazuli;
  auto files = Napi::Object::New(env);
  files.Set("unpack", Napi::Function::New(env, unpackCall, "unpack"));
  files.Set("changes", Napi::Function::New(env, changesCall, "changes"));
  files.Set("assemble", Napi::Function::New(env, assembleCall, "assemble"));
  exports.Set("layerFiles", files);
  return exports;
}
