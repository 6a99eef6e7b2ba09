"""The services behind the edge, for its tests: real servers of the kit that say what reached them.

Run as `python backends.py HOST:PORT`. Internal services are served too, so that only Envoy can be what refuses them.
"""

import json
import sys
import threading

from eco2.auth.v1 import internal_pb2_grpc as auth_internal
from eco2.chat_llm.v1 import chat_llm_pb2, chat_llm_pb2_grpc
from eco2.chat_llm.v1 import internal_pb2_grpc as chat_llm_internal
from eco2.locations.v1 import internal_pb2_grpc as locations_internal
from eco2.locations.v1 import locations_pb2, locations_pb2_grpc
from eco2.recycle_info.v1 import internal_pb2_grpc as recycle_info_internal
from eco2.recycle_info.v1 import recycle_info_pb2, recycle_info_pb2_grpc
from eco2.tasks.v1 import internal_pb2_grpc as tasks_internal
from eco2.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from eco2.users.v1 import erasure_pb2, erasure_pb2_grpc, users_pb2, users_pb2_grpc
from eco2.waste.v1 import internal_pb2_grpc as waste_internal
from eco2.waste.v1 import waste_pb2, waste_pb2_grpc

from services.kit import server, telemetry
from services.kit.caller import get_caller
from services.kit.errors import NotFound

# What asking for these does; any other analysis is found.
ABSENT, SLOW = "0193e0a0-0000-7000-8000-00000000dead", "0193e0a0-0000-7000-8000-0000000051ee"


def seen(context) -> str:
    """JSON: the caller, the seconds left and the metadata."""
    return json.dumps(
        {
            "caller": str(get_caller(context).user_id),
            "seconds_left": context.time_remaining(),
            "metadata": dict(context.invocation_metadata()),
        }
    )


def hold(context, seconds: float) -> None:
    """Returns when the call has ended or the time is up."""
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(seconds)


class Waste(waste_pb2_grpc.WasteServiceServicer):
    def GetAnalysis(self, request, context):
        if request.analysis_id == ABSENT:
            raise NotFound("no such analysis", reason="ANALYSIS_NOT_FOUND", analysis_id=request.analysis_id)
        if request.analysis_id == SLOW:
            hold(context, 60)
        result = waste_pb2.AnalysisResult(material=recycle_info_pb2.MATERIAL_GLASS)
        analysis = waste_pb2.Analysis(analysis_id=request.analysis_id, question=seen(context), result=result)
        return waste_pb2.GetAnalysisResponse(analysis=analysis)

    def CreateAnalysis(self, request, context):
        analysis = waste_pb2.Analysis(image_id=request.image_id, question=request.question)
        return waste_pb2.CreateAnalysisResponse(analysis=analysis)

    def CreateImage(self, request, context):
        return waste_pb2.CreateImageResponse(image=waste_pb2.Image(size_bytes=request.size_bytes))

    def ListAnalyses(self, request, context):
        said = {"state": request.state, "question": request.category_major, "create_time": request.after_time}
        analysis = waste_pb2.Analysis(**said, result={"material": request.material})
        return waste_pb2.ListAnalysesResponse(analyses=[analysis])

    def DeleteAnalysis(self, request, context):
        return waste_pb2.DeleteAnalysisResponse()

    def GetStatistics(self, request, context):
        return waste_pb2.GetStatisticsResponse(total_count=7)

    def CreateFeedback(self, request, context):
        feedback = waste_pb2.Feedback(correct=request.correct, true_material=request.true_material)
        return waste_pb2.CreateFeedbackResponse(feedback=feedback)

    def WaitAnalysis(self, request, context):
        question = seen(context)
        hold(context, request.timeout_s)
        return waste_pb2.WaitAnalysisResponse(
            analysis=waste_pb2.Analysis(analysis_id=request.analysis_id, question=question)
        )

    def WatchAnalysis(self, request, context):
        if request.analysis_id == ABSENT:
            raise NotFound("no such analysis", reason="ANALYSIS_NOT_FOUND", analysis_id=request.analysis_id)
        if request.analysis_id == SLOW:
            yield waste_pb2.WatchAnalysisResponse(analysis=waste_pb2.Analysis(question=seen(context)))
            hold(context, 60)
        for progress in (0, 50, 100):
            analysis = waste_pb2.Analysis(analysis_id=request.analysis_id, progress=progress, question=seen(context))
            yield waste_pb2.WatchAnalysisResponse(analysis=analysis, done=progress == 100)


class RecycleInfo(recycle_info_pb2_grpc.RecycleInfoServiceServicer):
    def ListItems(self, request, context):
        item = recycle_info_pb2.Item(name_ko=request.query, material=recycle_info_pb2.MATERIAL_PAPER_PACK)
        return recycle_info_pb2.ListItemsResponse(items=[item])

    def SuggestItems(self, request, context):
        return recycle_info_pb2.SuggestItemsResponse(suggestions=[recycle_info_pb2.Suggestion(name=request.query)])

    def ListCategories(self, request, context):
        return recycle_info_pb2.ListCategoriesResponse(categories=[recycle_info_pb2.Category(name="종이")])

    def ListQueries(self, request, context):
        return recycle_info_pb2.ListQueriesResponse()

    def Ask(self, request, context):
        return recycle_info_pb2.AskResponse(answer=recycle_info_pb2.Answer(text=request.question))


class ChatLlm(chat_llm_pb2_grpc.ChatLlmServiceServicer):
    def ListConversations(self, request, context):
        return chat_llm_pb2.ListConversationsResponse()

    def CreateConversation(self, request, context):
        conversation = chat_llm_pb2.Conversation(title=request.title)
        return chat_llm_pb2.CreateConversationResponse(conversation=conversation)

    def GetConversation(self, request, context):
        conversation = chat_llm_pb2.Conversation(conversation_id=request.conversation_id)
        return chat_llm_pb2.GetConversationResponse(conversation=conversation)

    def DeleteConversation(self, request, context):
        return chat_llm_pb2.DeleteConversationResponse()

    def ListMessages(self, request, context):
        message = chat_llm_pb2.Message(conversation_id=request.conversation_id)
        return chat_llm_pb2.ListMessagesResponse(messages=[message])

    def CreateMessage(self, request, context):
        if request.conversation_id == ABSENT:
            raise NotFound("no such conversation", reason="CONVERSATION_NOT_FOUND")
        message = chat_llm_pb2.Message(conversation_id=request.conversation_id, content=request.content)
        yield chat_llm_pb2.CreateMessageResponse(message=message)
        if request.conversation_id == SLOW:
            hold(context, 60)
        yield chat_llm_pb2.CreateMessageResponse(text=seen(context))
        yield chat_llm_pb2.CreateMessageResponse(done=True)

    def GetMessage(self, request, context):
        return chat_llm_pb2.GetMessageResponse(message=chat_llm_pb2.Message(message_id=request.message_id))

    def WatchMessage(self, request, context):
        yield chat_llm_pb2.WatchMessageResponse(text=request.message_id)
        yield chat_llm_pb2.WatchMessageResponse(done=True)

    def StopMessage(self, request, context):
        return chat_llm_pb2.StopMessageResponse(message=chat_llm_pb2.Message(message_id=request.message_id))

    def CreateFeedback(self, request, context):
        return chat_llm_pb2.CreateFeedbackResponse()


class Locations(locations_pb2_grpc.LocationsServiceServicer):
    def ListPlaces(self, request, context):
        return locations_pb2.ListPlacesResponse()

    def CreatePlace(self, request, context):
        place = locations_pb2.Place(name=request.name, latitude=request.latitude, longitude=request.longitude)
        return locations_pb2.CreatePlaceResponse(place=place)

    def GetPlace(self, request, context):
        return locations_pb2.GetPlaceResponse(place=locations_pb2.Place(place_id=request.place_id))

    def UpdatePlace(self, request, context):
        request.place.place_id = request.place_id
        request.place.address = ",".join(request.update_mask.paths)
        return locations_pb2.UpdatePlaceResponse(place=request.place)

    def DeletePlace(self, request, context):
        return locations_pb2.DeletePlaceResponse()

    def ListNearestCenters(self, request, context):
        asked = f"{request.latitude} {request.longitude} {request.radius_m} {request.open_now}"
        collection = locations_pb2.Collection(kind=request.kind)
        center = locations_pb2.Center(name=asked, collections=[collection])
        return locations_pb2.ListNearestCentersResponse(centers=[center])

    def GetCenter(self, request, context):
        return locations_pb2.GetCenterResponse(center=locations_pb2.Center(center_id=request.center_id))

    def LocateRegion(self, request, context):
        region = locations_pb2.Region(name=f"{request.latitude} {request.longitude}")
        return locations_pb2.LocateRegionResponse(region=region)

    def GetRegionPolicy(self, request, context):
        region = locations_pb2.Region(region_code=request.region_code)
        return locations_pb2.GetRegionPolicyResponse(policy=locations_pb2.RegionPolicy(region=region))


class Tasks(tasks_pb2_grpc.TasksServiceServicer):
    def ListTasks(self, request, context):
        return tasks_pb2.ListTasksResponse()

    def GetStatistics(self, request, context):
        return tasks_pb2.GetStatisticsResponse(statistics=[tasks_pb2.TaskStatistics(task_name=request.task_name)])

    def GetDeadLetter(self, request, context):
        letter = tasks_pb2.DeadLetter(dead_letter_id=request.dead_letter_id)
        return tasks_pb2.GetDeadLetterResponse(dead_letter=letter)

    def GetTask(self, request, context):
        return tasks_pb2.GetTaskResponse(task=tasks_pb2.Task(task_id=request.task_id))

    def ListTaskEvents(self, request, context):
        event = tasks_pb2.TaskEvent(type=tasks_pb2.TASK_EVENT_TYPE_QUEUED, worker_name=request.task_id)
        return tasks_pb2.ListTaskEventsResponse(events=[event])

    def ListDeadLetters(self, request, context):
        return tasks_pb2.ListDeadLettersResponse(dead_letters=[tasks_pb2.DeadLetter(queue=request.queue)])

    def ReplayDeadLetters(self, request, context):
        return tasks_pb2.ReplayDeadLettersResponse(dead_letters=[tasks_pb2.DeadLetter(task_id=request.task_id)])


class Users(users_pb2_grpc.UsersServiceServicer):
    def GetProfile(self, request, context):
        return users_pb2.GetProfileResponse(profile=users_pb2.Profile(username=seen(context)))

    def UpdateProfile(self, request, context):
        profile = users_pb2.Profile(username=",".join(request.update_mask.paths))
        profile.MergeFrom(request.profile)
        return users_pb2.UpdateProfileResponse(profile=profile)

    def DeleteAccount(self, request, context):
        return users_pb2.DeleteAccountResponse(erasure=erasure_pb2.Erasure(erasure_id=request.request_id))

    def GetSettings(self, request, context):
        return users_pb2.GetSettingsResponse(settings=users_pb2.Settings(notification_enabled=False))

    def UpdateSettings(self, request, context):
        return users_pb2.UpdateSettingsResponse(settings=request.settings)

    def CreateAvatar(self, request, context):
        return users_pb2.CreateAvatarResponse(avatar_id=str(request.size_bytes))

    def ConfirmAvatar(self, request, context):
        return users_pb2.ConfirmAvatarResponse(profile=users_pb2.Profile(avatar_url=request.avatar_id))

    def DeleteAvatar(self, request, context):
        return users_pb2.DeleteAvatarResponse(profile=users_pb2.Profile(username="none"))


class Erasures(erasure_pb2_grpc.ErasureServiceServicer):
    def GetErasure(self, request, context):
        return erasure_pb2.GetErasureResponse(erasure=erasure_pb2.Erasure(erasure_id=request.erasure_id))


SERVICES = [
    (users_pb2_grpc.add_UsersServiceServicer_to_server, Users()),
    (erasure_pb2_grpc.add_ErasureServiceServicer_to_server, Erasures()),
    (auth_internal.add_AuthInternalServiceServicer_to_server, auth_internal.AuthInternalServiceServicer()),
    (waste_pb2_grpc.add_WasteServiceServicer_to_server, Waste()),
    (recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server, RecycleInfo()),
    (tasks_pb2_grpc.add_TasksServiceServicer_to_server, Tasks()),
    (locations_pb2_grpc.add_LocationsServiceServicer_to_server, Locations()),
    (chat_llm_pb2_grpc.add_ChatLlmServiceServicer_to_server, ChatLlm()),
    (auth_internal.add_SignInInternalServiceServicer_to_server, auth_internal.SignInInternalServiceServicer()),
    (
        chat_llm_internal.add_ChatLlmInternalServiceServicer_to_server,
        chat_llm_internal.ChatLlmInternalServiceServicer(),
    ),
    (waste_internal.add_WasteInternalServiceServicer_to_server, waste_internal.WasteInternalServiceServicer()),
    (
        recycle_info_internal.add_RecycleInfoInternalServiceServicer_to_server,
        recycle_info_internal.RecycleInfoInternalServiceServicer(),
    ),
    (
        locations_internal.add_LocationsInternalServiceServicer_to_server,
        locations_internal.LocationsInternalServiceServicer(),
    ),
    (tasks_internal.add_TasksInternalServiceServicer_to_server, tasks_internal.TasksInternalServiceServicer()),
]

if __name__ == "__main__":
    telemetry.setup("backends")
    server.run(server.Server(sys.argv[1], SERVICES, threads=16), probe_interval_s=0)
