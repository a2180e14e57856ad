// The linear layer over weights that oneDNN has packed once.
//
// These two operations are made for libtorch's compiler. They are not among its native functions, so they have no C++
// name and are called by the dispatcher's.

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <string_view>

#include "common.h"

using shim::guard;
using shim::Tensor;

extern "C" {

// `rows` is how many rows the inputs will have, about; the layout is best for that.
char* shim_pack(Tensor* weight, int64_t rows, Tensor** result) {
  return guard([&] {
    using Pack = Tensor(const Tensor&, std::optional<c10::SymInt>);
    static const auto pack =
        c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "").typed<Pack>();
    at::NoGradGuard no_grad;
    *result = new Tensor(pack.call(weight->detach(), c10::SymInt(rows)));
  });
}

char* shim_packed_linear(Tensor* x, Tensor* packed, Tensor* bias, Tensor** result) {
  return guard([&] {
    using Linear = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::string_view,
                          c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
    static const auto linear =
        c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Linear>();
    TORCH_CHECK(!x->requires_grad() || !at::GradMode::is_enabled(),
                "packed weights are for inference: they hand no gradient on to an input that requires one");
    at::NoGradGuard no_grad;
    *result = new Tensor(
        linear.call(*x, *packed, shim::optional(bias), "none", c10::List<std::optional<at::Scalar>>(), std::nullopt));
  });
}

}  // extern "C"
