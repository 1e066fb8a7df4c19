#include "file_steps_binding.h"

#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../core/file_steps.h"
#include "arguments.h"
#include "pending_call.h"

namespace lazuli {
namespace {

constexpr uint32_t STEPS_MAX = 4096;
constexpr uint64_t MODE_MAX = 07777;
constexpr uint64_t ID_MAX = UINT32_MAX - 1;

const std::map<std::string, FileStepKind, std::less<>>& kinds() {
  static const std::map<std::string, FileStepKind, std::less<>> table{
      {"makeFolder", FileStepKind::makeFolder},     {"setOwner", FileStepKind::setOwner},
      {"writeFile", FileStepKind::writeFile},       {"rename", FileStepKind::rename},
      {"unlink", FileStepKind::unlink},             {"removeFolder", FileStepKind::removeFolder},
      {"sync", FileStepKind::sync},                 {"syncFileSystem", FileStepKind::syncFileSystem},
  };
  return table;
}

FileStep stepArgument(const Napi::Value& value) {
  const Napi::Object object = objectArgument(value, "step");
  const auto kind = kinds().find(textArgument(object.Get("kind"), "kind"));
  if (kind == kinds().end()) throw std::invalid_argument("Argument \"kind\" must be a kind of step");
  FileStep step{.kind = kind->second, .path = textArgument(object.Get("path"), "path"), .text = ""};
  if (step.kind == FileStepKind::rename) step.text = textArgument(object.Get("to"), "to");
  if (step.kind == FileStepKind::writeFile) {
    const auto bytes = bytesArgument(object.Get("bytes"), "bytes");
    step.text.assign(bytes.begin(), bytes.end());
  }
  if (step.kind == FileStepKind::makeFolder || step.kind == FileStepKind::writeFile) {
    step.mode = static_cast<mode_t>(integerArgument(object.Get("mode"), "mode", 0, MODE_MAX));
  }
  if (step.kind == FileStepKind::setOwner) {
    step.uid = static_cast<uid_t>(integerArgument(object.Get("uid"), "uid", 0, ID_MAX));
    step.gid = static_cast<gid_t>(integerArgument(object.Get("gid"), "gid", 0, ID_MAX));
  }
  return step;
}

Napi::Value stepsCall(const Napi::CallbackInfo& info) {
  return answered(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsArray()) throw std::invalid_argument("Argument \"steps\" must be an array");
    const auto array = info[0].As<Napi::Array>();
    if (array.Length() > STEPS_MAX) throw std::invalid_argument("Argument \"steps\" is too long");
    std::vector<FileStep> steps;
    for (uint32_t i = 0; i < array.Length(); i++) {
      const Napi::Value step = array[i];
      steps.push_back(stepArgument(step));
    }
    const auto run = [steps = std::move(steps)] { return takeFileSteps(steps), std::monostate{}; };
    return later<std::monostate>(info.Env(), "fileSteps", run, nothing);
  });
}

}  // namespace
}  // namespace lazuli

Napi::Object initFileSteps(Napi::Env env, Napi::Object exports) {
  exports.Set("fileSteps", Napi::Function::New(env, lazuli::stepsCall, "fileSteps"));
  return exports;
}
